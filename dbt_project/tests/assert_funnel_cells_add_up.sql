-- C7, C8: in each cell of both funnels open + lost + won is all deals, and the success stage holds the won ones.
with won as (
    select
        pipeline_key,
        {{ month_of('created_date') }} as cohort_month,
        manager_key,
        last_touch_channel_key,
        count(*) as deals_won

    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won'
    group by pipeline_key, cohort_month, manager_key, last_touch_channel_key
),

cells as (
    select
        funnel_type,
        pipeline_key,
        cohort_month,
        manager_key,
        channel_key,
        max(deals_total) as deals_total,
        sum(deals_open) as deals_open,
        sum(deals_lost) as deals_lost,
        max(case when is_won_stage then deals_entered end) as deals_entered_won

    from {{ ref('funnel_stage_conversion') }}
    group by funnel_type, pipeline_key, cohort_month, manager_key, channel_key
)

select cells.*, won.deals_won
from cells
left join won
    on
        won.pipeline_key = cells.pipeline_key
        and won.cohort_month = cells.cohort_month
        and won.manager_key = cells.manager_key
        and won.last_touch_channel_key = cells.channel_key
where
    cells.deals_open + cells.deals_lost + coalesce(won.deals_won, 0) <> cells.deals_total
    or cells.deals_entered_won <> coalesce(won.deals_won, 0)
