{% snapshot snap_statuses %}
-- One row per entry of a CRM dictionary (stages, sources, ...) and stretch of time in which it looked the same.
select
    status_row_id,
    dictionary_code,
    status_id,
    name,
    sort,
    semantics,
    color
from {{ ref('stg_bitrix24__statuses') }}
where status_row_id is not null
{% endsnapshot %}
