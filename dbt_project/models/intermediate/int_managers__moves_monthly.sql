-- One row per month and manager whose deals moved forward or jumped over stages in it.
with stays as (
    select * from {{ ref('fct_deal_stage_history') }}
    where is_in_scope and (is_forward or skipped_count > 0)
),

deals as (
    select deal_id, manager_key from {{ ref('fct_deals') }}
)

select
    {{ month_of('stays.entered_date') }} as period_month,
    deals.manager_key,
    sum(case when stays.is_forward then 1 else 0 end) as deals_moved_forward,
    sum(stays.skipped_count) as stages_skipped
from stays
inner join deals on deals.deal_id = stays.deal_id
group by period_month, deals.manager_key
