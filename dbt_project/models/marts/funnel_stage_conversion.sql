-- One row per funnel type, pipeline, month of creation, manager, channel and stage of the path.
with progress as (
    select
        steps.*,
        deals.reopen_count,
        steps.stage_position = pipelines.path_stage_count + 1 as is_won_stage

    from {{ ref('deal_stage_progress') }} as steps
    inner join {{ ref('fct_deals') }} as deals on deals.deal_id = steps.deal_id
    inner join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = steps.pipeline_key
),

-- conversion: every stage up to the furthest counts; classic: only the stages a deal really stood in
counted as (
    select
        *,
        'conversion' as funnel_type,
        is_reached as is_entered,
        is_open_progress as is_open,
        is_lost_progress as is_lost
    from progress
    union all
    select
        *,
        'classic' as funnel_type,
        is_visited as is_entered,
        is_open_actual as is_open,
        is_lost_actual as is_lost
    from progress
),

stages as (
    select
        funnel_type,
        pipeline_key,
        any_value(pipeline_name) as pipeline_name,
        cohort_month,
        manager_key,
        any_value(manager_name) as manager_name,
        any_value(department_name) as department_name,
        channel_key,
        any_value(channel_name_ru) as channel_name_ru,
        stage_id,
        any_value(stage_name) as stage_name,
        stage_position,
        is_won_stage,
        count(*) as deals_total,
        {{ count_if('is_entered') }} as deals_entered,
        count(distinct case when is_entered and client_key <> 'unknown' then client_key end)
        + {{ count_if("is_entered and client_key = 'unknown'") }} as clients_entered,
        {{ sum_money('case when is_entered then amount_rc end') }} as amount_entered,
        {{ count_if('is_open') }} as deals_open,
        {{ count_if('is_lost') }} as deals_lost,
        {{ sum_money('case when is_lost then amount_rc end') }} as amount_lost,
        {{ count_if('is_skipped') }} as deals_skipped,
        {{ count_if('visits >= 2') }} as deals_returned,
        {{ count_if('visits > 0 and not has_open_stay and not is_won_stage') }} as deals_left,
        {{ sum_count('case when visits > 0 and not has_open_stay and not is_won_stage then stay_seconds end') }}
            as seconds_of_left,
        {{ median('case when visits > 0 and not has_open_stay and not is_won_stage then stay_seconds end') }}
            as median_seconds_of_left,
        {{ count_if('stage_position = 1 and reopen_count > 0') }} as deals_reopened

    from counted
    group by
        funnel_type,
        pipeline_key,
        cohort_month,
        manager_key,
        channel_key,
        stage_id,
        stage_position,
        is_won_stage
),

neighbours as (
    select
        *,
        coalesce(lag(deals_entered) over funnel_path, deals_total) as deals_entered_prev,
        lead(deals_entered) over funnel_path as deals_entered_next

    from stages
    window funnel_path as (
        partition by funnel_type, pipeline_key, cohort_month, manager_key, channel_key
        order by stage_position
    )
)

select
    funnel_type,
    pipeline_key,
    pipeline_name,
    cohort_month,
    manager_key,
    manager_name,
    department_name,
    channel_key,
    channel_name_ru,
    stage_id,
    stage_name,
    stage_position,
    is_won_stage,
    deals_total,
    deals_entered,
    clients_entered,
    amount_entered,
    deals_entered_prev,
    {{ ratio('deals_entered', 'deals_entered_prev') }} as stage_conversion,
    {{ ratio('deals_entered', 'deals_total') }} as cumulative_conversion,
    deals_open,
    deals_lost,
    amount_lost,
    {{ ratio('deals_lost', 'deals_entered') }} as lost_share,
    case
        when funnel_type = 'classic' then null
        when is_won_stage then 0
        else deals_entered - coalesce(deals_entered_next, 0)
    end as deals_dropped,
    deals_skipped,
    deals_returned,
    deals_left,
    {{ hours('seconds_of_left') }} as stay_hours_sum,
    case when deals_left > 0 then {{ hours('seconds_of_left / cast(deals_left as double)') }} end as stay_hours_avg,
    {{ hours('median_seconds_of_left') }} as stay_hours_median,
    deals_reopened

from neighbours
