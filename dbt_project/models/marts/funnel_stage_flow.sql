-- One row per pipeline, stage in work, day, manager and channel: who came in and where those who left went.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

stays as (
    select
        visits.pipeline_key,
        visits.stage_id,
        {{ local_date('visits.entered_at') }} as entered_date,
        {{ local_date('visits.left_at') }} as left_date,
        visits.duration_seconds,
        visits.exit_kind,
        deals.manager_key,
        deals.last_touch_channel_key as channel_key,
        deals.amount_rc

    from {{ ref('int_deals__stage_visits') }} as visits
    inner join deals on deals.deal_id = visits.deal_id
    where visits.semantics = 'P'
),

events as (
    select
        pipeline_key, stage_id, entered_date as date_day, manager_key, channel_key,
        true as is_entry, null as exit_kind, null as duration_seconds, null as amount_rc
    from stays
    union all
    select
        pipeline_key, stage_id, left_date as date_day, manager_key, channel_key,
        false as is_entry, exit_kind, duration_seconds, amount_rc
    from stays
    where exit_kind is not null
),

counted as (
    select
        pipeline_key,
        stage_id,
        date_day,
        manager_key,
        channel_key,
        {{ count_if('is_entry') }} as entries,
        {{ count_if('not is_entry') }} as exits,
        {{ count_if("exit_kind = 'moved'") }} as exits_moved,
        {{ count_if("exit_kind = 'lost'") }} as exits_lost,
        {{ count_if("exit_kind = 'forward'") }} as exits_forward,
        {{ count_if("exit_kind = 'back'") }} as exits_back,
        {{ count_if("exit_kind = 'other'") }} as exits_other,
        {{ sum_money("case when exit_kind = 'lost' then amount_rc end") }} as amount_exits_lost,
        {{ sum_count('duration_seconds') }} as seconds_of_exits

    from events
    group by pipeline_key, stage_id, date_day, manager_key, channel_key
)

select
    counted.pipeline_key,
    pipelines.name as pipeline_name,
    counted.stage_id,
    stages.name as stage_name,
    stages.stage_position,
    counted.date_day,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.channel_key,
    channels.name_ru as channel_name_ru,
    counted.entries,
    counted.exits,
    counted.exits_moved,
    counted.exits_lost,
    counted.exits_forward,
    counted.exits_back,
    counted.exits_other,
    counted.amount_exits_lost,
    {{ hours('counted.seconds_of_exits') }} as stay_hours_sum,
    {{ ratio('counted.exits_forward', 'counted.exits - counted.exits_moved - counted.exits_other') }} as exit_conversion

from counted
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = counted.pipeline_key
left join {{ ref('dim_stage') }} as stages
    on
        stages.entity = 'deal'
        and stages.pipeline_key = counted.pipeline_key
        and stages.stage_id = counted.stage_id
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
left join {{ ref('dim_channel') }} as channels on channels.channel_key = counted.channel_key
