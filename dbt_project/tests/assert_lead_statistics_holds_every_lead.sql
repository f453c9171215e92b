-- C13: month by month up to the running one, lead_statistics holds every counted lead once, and what they bought.
with mart as (
    select
        {{ month_of('date_day') }} as month,
        sum(leads) as leads,
        sum(leads_with_won) as leads_with_won,
        sum(revenue) as revenue
    from {{ ref('lead_statistics') }}
    group by month
),

deals as (
    select lead_id, count(case when outcome = 'won' then 1 end) as deals_won, sum(revenue_rc) as revenue_rc
    from {{ ref('fct_deals') }}
    where is_in_scope and lead_id is not null
    group by lead_id
),

facts as (
    select
        {{ month_of('leads.created_date') }} as month,
        count(*) as leads,
        {{ count_if('deals.deals_won > 0') }} as leads_with_won,
        {{ sum_money('deals.revenue_rc') }} as revenue
    from {{ ref('fct_leads') }} as leads
    left join deals on deals.lead_id = leads.lead_id
    where leads.is_in_scope and {{ month_of('leads.created_date') }} <= {{ month_of(as_of_date()) }}
    group by month
)

select coalesce(mart.month, facts.month) as month, mart.leads as mart_leads, facts.leads as fact_leads
from mart
full outer join facts on facts.month = mart.month
where
    coalesce(mart.leads, 0) <> coalesce(facts.leads, 0)
    or coalesce(mart.leads_with_won, 0) <> coalesce(facts.leads_with_won, 0)
    or coalesce(mart.revenue, 0) <> coalesce(facts.revenue, 0)
