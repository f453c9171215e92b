-- C3: month by month up to the running one, revenue and losses of the products are those of the counted deals.
with mart as (
    select period_month, sum(revenue) as revenue, sum(lost_amount) as lost_amount, sum(open_amount) as open_amount
    from {{ ref('product_performance') }}
    group by period_month
),

events as (
    select
        {{ month_of('coalesce(closed_date, ' ~ as_of_date() ~ ')') }} as period_month,
        outcome,
        coalesce(amount_rc, 0) as amount
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome <> 'won'

    union all

    select {{ month_of('revenue_date') }} as period_month, 'won' as outcome, revenue_rc as amount
    from {{ revenue_rows() }} as sales
),

facts as (
    select
        period_month,
        sum(case when outcome = 'won' then amount else 0 end) as revenue,
        sum(case when outcome = 'lost' then amount else 0 end) as lost_amount,
        sum(case when outcome = 'open' then amount else 0 end) as open_amount
    from events
    group by period_month
)

select coalesce(mart.period_month, facts.period_month) as period_month, mart.revenue, facts.revenue as fact_revenue
from mart
full outer join facts on facts.period_month = mart.period_month
where
    coalesce(facts.period_month, mart.period_month) <= {{ month_of(as_of_date()) }}
    and (
        coalesce(mart.revenue, 0) <> coalesce(facts.revenue, 0)
        or coalesce(mart.lost_amount, 0) <> coalesce(facts.lost_amount, 0)
        or coalesce(mart.open_amount, 0) <> coalesce(facts.open_amount, 0)
    )
