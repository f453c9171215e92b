-- C20: the fact beside the company's plan is all that sales_dynamics sold in the month.
with sales as (
    select {{ month_of('date_day') }} as period_month, sum(revenue) as revenue, sum(deals_won) as deals_won
    from {{ ref('sales_dynamics') }}
    group by period_month
)

select plans.period_month, plans.metric, plans.fact_value, sales.revenue, sales.deals_won
from {{ ref('sales_plan_fact') }} as plans
left join sales on sales.period_month = plans.period_month
where
    plans.scope = 'company'
    and plans.fact_value
    <> coalesce(case plans.metric when 'revenue' then sales.revenue when 'deals_won' then sales.deals_won end, 0)
