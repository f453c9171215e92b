{{ config(severity='warn') }}
-- Stays in stages that the portal never listed: they have no place on the path. Deleted long ago, or not readable.
select stays.interval_id, stays.deal_id, stays.pipeline_key, stays.stage_id
from {{ ref('fct_deal_stage_history') }} as stays
left join {{ ref('int_stages__positions') }} as listed
    on
        listed.entity = 'deal'
        and listed.pipeline_key = stays.pipeline_key
        and listed.stage_id = stays.stage_id
where stays.is_in_scope and listed.stage_id is null
