-- One row per day, pipeline, manager, channel and kind of sale: what was created, won and lost. Sums only.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

events as (
    select
        'created' as event, created_date as date_day, pipeline_key, manager_key, last_touch_channel_key, is_repeat_sale,
        amount_rc, revenue_rc, gross_profit_rc, discount_rc, cycle_days
    from deals
    union all
    select
        outcome as event, closed_date as date_day, pipeline_key, manager_key, last_touch_channel_key, is_repeat_sale,
        amount_rc, revenue_rc, gross_profit_rc, discount_rc, cycle_days
    from deals
    where outcome <> 'open'
    union all
    select
        'paid' as event, revenue_date as date_day, pipeline_key, manager_key, last_touch_channel_key, is_repeat_sale,
        null as amount_rc, revenue_rc, null as gross_profit_rc, null as discount_rc, null as cycle_days
    from {{ revenue_rows() }} as sales
),

counted as (
    select
        date_day,
        pipeline_key,
        manager_key,
        last_touch_channel_key as channel_key,
        is_repeat_sale,
        {{ count_if("event = 'created'") }} as deals_created,
        {{ sum_money("case when event = 'created' then amount_rc end") }} as amount_created,
        {{ count_if("event = 'won'") }} as deals_won,
        {{ sum_money("case when event = 'paid' then revenue_rc end") }} as revenue,
        -- one sale of unknown margin makes the profit of the row unknown
        case
            when {{ count_if("event = 'won' and gross_profit_rc is null") }} = 0
                then {{ sum_money("case when event = 'won' then gross_profit_rc end") }}
        end as gross_profit,
        {{ sum_count("case when event = 'won' then cycle_days end") }} as cycle_days_sum,
        {{ count_if("event = 'lost'") }} as deals_lost,
        {{ sum_money("case when event = 'lost' then amount_rc end") }} as lost_amount,
        {{ sum_money("case when event = 'won' then discount_rc end") }} as discount_amount

    from events
    -- a later sale, such as one dated by a CLOSEDATE to come, is in no mart yet
    where {{ month_of('date_day') }} <= {{ month_of(as_of_date()) }}
    group by date_day, pipeline_key, manager_key, last_touch_channel_key, is_repeat_sale
)

select
    counted.date_day,
    counted.pipeline_key,
    pipelines.name as pipeline_name,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.channel_key,
    channels.name_ru as channel_name_ru,
    counted.is_repeat_sale,
    counted.deals_created,
    counted.amount_created,
    counted.deals_won,
    counted.revenue,
    counted.gross_profit,
    counted.cycle_days_sum,
    counted.deals_lost,
    counted.lost_amount,
    counted.discount_amount

from counted
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = counted.pipeline_key
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
left join {{ ref('dim_channel') }} as channels on channels.channel_key = counted.channel_key
