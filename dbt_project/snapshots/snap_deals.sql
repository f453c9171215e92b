{% snapshot snap_deals %}
-- One row per deal and stretch of time in which these four stayed the same; the portal tells only their present values.
select
    deal_id,
    manager_id,
    amount,
    source_id,
    pipeline_key
from {{ ref('stg_bitrix24__deals') }}
where deal_id is not null
{% endsnapshot %}
