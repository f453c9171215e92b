-- One row per month and manager with a deal created, won, lost or paid in it.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

product_rows as (
    select
        deal_id,
        sum(discount_rc) as discount_rc,
        sum(row_amount_rc) as row_amount_rc
    from {{ ref('fct_deal_products') }}
    group by deal_id
),

events as (
    select
        {{ month_of('created_date') }} as period_month,
        manager_key,
        1 as is_created,
        case when outcome = 'won' then 1 else 0 end as is_cohort_won,
        0 as is_won,
        0 as is_lost,
        0 as is_repeat,
        cast(0 as decimal(18, 2)) as revenue,
        cast(0 as decimal(18, 2)) as revenue_repeat,
        cast(0 as decimal(18, 2)) as lost_amount,
        cast(null as bigint) as cycle_days,
        cast(0 as decimal(18, 2)) as discount_rc,
        cast(0 as decimal(18, 2)) as row_amount_rc
    from deals

    union all

    select
        {{ month_of('deals.won_date') }} as period_month,
        deals.manager_key,
        0 as is_created,
        0 as is_cohort_won,
        1 as is_won,
        0 as is_lost,
        case when deals.is_repeat_sale then 1 else 0 end as is_repeat,
        0 as revenue,
        0 as revenue_repeat,
        0 as lost_amount,
        deals.cycle_days,
        coalesce(product_rows.discount_rc, 0) as discount_rc,
        coalesce(product_rows.row_amount_rc, 0) as row_amount_rc
    from deals
    left join product_rows on product_rows.deal_id = deals.deal_id
    where deals.outcome = 'won'

    union all

    select
        {{ month_of('lost_date') }} as period_month,
        manager_key,
        0 as is_created,
        0 as is_cohort_won,
        0 as is_won,
        1 as is_lost,
        0 as is_repeat,
        0 as revenue,
        0 as revenue_repeat,
        coalesce(amount_rc, 0) as lost_amount,
        null as cycle_days,
        0 as discount_rc,
        0 as row_amount_rc
    from deals
    where outcome = 'lost'

    union all

    select
        {{ month_of('revenue_date') }} as period_month,
        manager_key,
        0 as is_created,
        0 as is_cohort_won,
        0 as is_won,
        0 as is_lost,
        0 as is_repeat,
        revenue_rc as revenue,
        case when is_repeat_sale then revenue_rc else 0 end as revenue_repeat,
        0 as lost_amount,
        null as cycle_days,
        0 as discount_rc,
        0 as row_amount_rc
    from {{ revenue_rows() }} as sales
)

select
    period_month,
    manager_key,
    sum(is_created) as deals_created,
    sum(is_cohort_won) as cohort_won,
    sum(is_won) as deals_won,
    sum(is_lost) as deals_lost,
    sum(is_repeat) as deals_won_repeat,
    sum(revenue) as revenue,
    sum(revenue_repeat) as revenue_repeat,
    sum(lost_amount) as lost_amount,
    sum(discount_rc) as discount_amount,
    sum(row_amount_rc) as row_amount,
    sum(cycle_days) as cycle_days_sum,
    {{ median('cycle_days') }} as cycle_days_median
from events
group by period_month, manager_key
