-- One row per month and manager to whom a lead or another request of that month belongs.
with leads as (
    select manager_key, created_date, won_deal_id from {{ ref('fct_leads') }} where is_in_scope
),

requests as (
    select manager_key, created_date, response_seconds from {{ ref('fct_requests') }} where is_in_scope
),

events as (
    select
        {{ month_of('created_date') }} as period_month,
        manager_key,
        1 as is_lead,
        case when won_deal_id is not null then 1 else 0 end as is_won_lead,
        0 as is_request,
        cast(null as bigint) as response_seconds
    from leads

    union all

    select
        {{ month_of('created_date') }} as period_month,
        manager_key,
        0 as is_lead,
        0 as is_won_lead,
        1 as is_request,
        response_seconds
    from requests
)

select
    period_month,
    manager_key,
    sum(is_lead) as leads_assigned,
    sum(is_won_lead) as leads_with_won,
    sum(is_request) as requests,
    count(response_seconds) as requests_answered,
    coalesce(sum(response_seconds), 0) as response_seconds_sum,
    {{ median('response_seconds') }} as response_seconds_median
from events
group by period_month, manager_key
