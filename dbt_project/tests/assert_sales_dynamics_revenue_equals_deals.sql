-- C1: month by month up to the running one, revenue of sales_dynamics is that of the counted deals.
with mart as (
    select {{ month_of('date_day') }} as month, sum(revenue) as revenue, sum(deals_won) as deals_won
    from {{ ref('sales_dynamics') }}
    group by month
),

events as (
    select won_date as date_day, 1 as deals_won, 0 as revenue
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won'

    union all

    select revenue_date as date_day, 0 as deals_won, revenue_rc as revenue
    from {{ revenue_rows() }} as sales
),

facts as (
    select {{ month_of('date_day') }} as month, sum(revenue) as revenue, sum(deals_won) as deals_won
    from events
    where {{ month_of('date_day') }} <= {{ month_of(as_of_date()) }}
    group by month
)

select
    coalesce(mart.month, facts.month) as month,
    mart.revenue as mart_revenue,
    facts.revenue as fact_revenue

from mart
full outer join facts on facts.month = mart.month
where
    coalesce(mart.revenue, 0) <> coalesce(facts.revenue, 0)
    or coalesce(mart.deals_won, 0) <> coalesce(facts.deals_won, 0)
