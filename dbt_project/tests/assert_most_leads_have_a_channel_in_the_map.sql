-- Tags or sources without a rule in channel_map, on more than var unmapped_warn_share of the leads of 30 days.
{{ config(severity='warn') }}
with recent as (
    select
        count(*) as leads,
        {{ count_if("channel_key = 'unmapped'") }} as unmapped_leads
    from {{ ref('fct_leads') }}
    where is_in_scope and created_at > {{ shift_hours(as_of(), -24 * 30) }}
)

select *
from recent
where unmapped_leads > {{ var('unmapped_warn_share') }} * leads
