-- C1: month by month and kind by kind, repeat_sales tells the sales and losses of sales_dynamics.
with mart as (
    select
        period_month,
        is_repeat_sale,
        sum(deals_won) as deals_won,
        sum(revenue) as revenue,
        sum(deals_lost) as deals_lost,
        sum(lost_amount) as lost_amount
    from {{ ref('repeat_sales') }}
    group by period_month, is_repeat_sale
),

dynamics as (
    select
        {{ month_of('date_day') }} as period_month,
        is_repeat_sale,
        sum(deals_won) as deals_won,
        sum(revenue) as revenue,
        sum(deals_lost) as deals_lost,
        sum(lost_amount) as lost_amount
    from {{ ref('sales_dynamics') }}
    group by period_month, is_repeat_sale
)

select
    coalesce(mart.period_month, dynamics.period_month) as period_month,
    mart.revenue as mart_revenue,
    dynamics.revenue as dynamics_revenue

from mart
full outer join dynamics
    on dynamics.period_month = mart.period_month and dynamics.is_repeat_sale = mart.is_repeat_sale
where
    coalesce(mart.deals_won, 0) <> coalesce(dynamics.deals_won, 0)
    or coalesce(mart.revenue, 0) <> coalesce(dynamics.revenue, 0)
    or coalesce(mart.deals_lost, 0) <> coalesce(dynamics.deals_lost, 0)
    or coalesce(mart.lost_amount, 0) <> coalesce(dynamics.lost_amount, 0)
