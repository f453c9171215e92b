-- C1: month by month, revenue and sales of each pipeline in period_comparison are those of sales_dynamics; all
-- pipelines together are their sum.
with mart as (
    select
        period_start as month,
        pipeline_key,
        sum(case when metric = 'revenue' then value else 0 end) as revenue,
        sum(case when metric = 'deals_won' then value else 0 end) as deals_won,
        sum(case when metric = 'lost_amount' then value else 0 end) as lost_amount
    from {{ ref('period_comparison') }}
    where period_type = 'month'
    group by period_start, pipeline_key
),

sales as (
    select {{ month_of('date_day') }} as month, pipeline_key, revenue, deals_won, lost_amount
    from {{ ref('sales_dynamics') }}
    union all
    select {{ month_of('date_day') }} as month, -1 as pipeline_key, revenue, deals_won, lost_amount
    from {{ ref('sales_dynamics') }}
),

dynamics as (
    select month, pipeline_key, sum(revenue) as revenue, sum(deals_won) as deals_won, sum(lost_amount) as lost_amount
    from sales
    group by month, pipeline_key
)

select
    coalesce(mart.month, dynamics.month) as month,
    coalesce(mart.pipeline_key, dynamics.pipeline_key) as pipeline_key,
    mart.revenue as mart_revenue,
    dynamics.revenue as dynamics_revenue

from mart
full outer join dynamics on dynamics.month = mart.month and dynamics.pipeline_key = mart.pipeline_key
where
    coalesce(mart.revenue, 0) <> coalesce(dynamics.revenue, 0)
    or coalesce(mart.deals_won, 0) <> coalesce(dynamics.deals_won, 0)
    or coalesce(mart.lost_amount, 0) <> coalesce(dynamics.lost_amount, 0)
