-- One row per month, manager and channel of the last touch with a deal created, won or lost in it.
with months as (
    select
        {{ month_of('date_day') }} as period_month,
        manager_key,
        manager_name,
        department_name,
        channel_key,
        channel_name_ru,
        {{ sum_count('deals_created') }} as deals_created,
        {{ sum_count('deals_won') }} as deals_won,
        {{ sum_count('deals_lost') }} as deals_lost,
        {{ sum_money('revenue') }} as revenue
    from {{ ref('sales_dynamics') }}
    group by period_month, manager_key, manager_name, department_name, channel_key, channel_name_ru
),

cohorts as (
    select
        {{ month_of('created_date') }} as period_month,
        manager_key,
        last_touch_channel_key as channel_key,
        count(*) as cohort_won
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won'
    group by period_month, manager_key, last_touch_channel_key
)

select
    months.period_month,
    months.manager_key,
    months.manager_name,
    months.department_name,
    months.channel_key,
    months.channel_name_ru,
    months.deals_created,
    months.deals_won,
    months.deals_lost,
    months.revenue,
    coalesce(cohorts.cohort_won, 0) as cohort_won,
    {{ ratio('coalesce(cohorts.cohort_won, 0)', 'months.deals_created') }} as cohort_conversion,
    {{ ratio('months.deals_won', 'months.deals_won + months.deals_lost') }} as win_rate,
    cast({{ avg_money('months.revenue', 'months.deals_won') }} as decimal(18, 2)) as avg_check
from months
left join cohorts
    on cohorts.period_month = months.period_month
    and cohorts.manager_key = months.manager_key
    and cohorts.channel_key = months.channel_key
