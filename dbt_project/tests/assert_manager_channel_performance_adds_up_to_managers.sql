-- Month by month and manager by manager, the channels add up to manager_performance (C1, C22).
with channels as (
    select
        period_month,
        manager_key,
        sum(deals_created) as deals_created,
        sum(deals_won) as deals_won,
        sum(deals_lost) as deals_lost,
        sum(cohort_won) as cohort_won,
        sum(revenue) as revenue
    from {{ ref('manager_channel_performance') }}
    group by period_month, manager_key
),

managers as (
    select * from {{ ref('manager_performance') }}
)

select
    coalesce(managers.period_month, channels.period_month) as period_month,
    coalesce(managers.manager_key, channels.manager_key) as manager_key,
    managers.revenue as manager_revenue,
    channels.revenue as channel_revenue

from managers
full outer join channels
    on channels.period_month = managers.period_month and channels.manager_key = managers.manager_key
where
    coalesce(managers.deals_created, 0) <> coalesce(channels.deals_created, 0)
    or coalesce(managers.deals_won, 0) <> coalesce(channels.deals_won, 0)
    or coalesce(managers.deals_lost, 0) <> coalesce(channels.deals_lost, 0)
    or coalesce(managers.cohort_won, 0) <> coalesce(channels.cohort_won, 0)
    or coalesce(managers.revenue, 0) <> coalesce(channels.revenue, 0)
