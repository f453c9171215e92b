-- C12: every stay in work of a counted deal is one entry of funnel_stage_flow.
with mart as (
    select sum(entries) as entries from {{ ref('funnel_stage_flow') }}
),

facts as (
    select count(*) as stays from {{ ref('fct_deal_stage_history') }} where is_in_scope and semantics = 'P'
)

select mart.entries, facts.stays
from mart
cross join facts
where coalesce(mart.entries, 0) <> facts.stays
