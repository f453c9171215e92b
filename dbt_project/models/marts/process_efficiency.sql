-- One row per process type, pipeline, month and stage with anything that happened there, or stood there at its end.
with items as (
    select * from {{ ref('fct_process_items') }} where is_in_scope
),

stays as (
    select * from {{ ref('fct_process_stage_history') }} where is_in_scope
),

-- where items stood in work; one without history stood where it is, from its creation to its closing
standing as (
    select entity_type_id, item_id, pipeline_key, stage_id, entered_at, left_at
    from stays
    where semantics = 'P'
    union all
    select entity_type_id, item_id, pipeline_key, stage_id, created_at as entered_at, closed_at as left_at
    from items
    where not has_history
),

events as (
    select
        'created' as event,
        items.entity_type_id,
        coalesce(first_stays.pipeline_key, items.pipeline_key) as pipeline_key,
        coalesce(first_stays.stage_id, items.stage_id) as stage_id,
        {{ month_of('items.created_date') }} as period_month,
        cast(null as bigint) as stay_seconds,
        cast(null as bigint) as cycle_seconds,
        false as is_overdue
    from items
    left join stays as first_stays
        on
            first_stays.entity_type_id = items.entity_type_id
            and first_stays.item_id = items.item_id
            and first_stays.prev_stage_id is null
    union all
    select outcome, entity_type_id, pipeline_key, stage_id, {{ month_of('closed_date') }}, null, cycle_seconds, false
    from items
    where outcome <> 'open'
    union all
    select 'entry', entity_type_id, pipeline_key, stage_id, {{ month_of('entered_date') }}, null, null, false
    from stays
    union all
    select 'exit', entity_type_id, pipeline_key, stage_id, {{ month_of('left_date') }}, duration_seconds, null, false
    from stays
    where left_at is not null
    union all
    select
        'open',
        standing.entity_type_id,
        standing.pipeline_key,
        standing.stage_id,
        months.period_month,
        null,
        null,
        coalesce(items.due_date < {{ local_date('months.ends_at') }}, false)
    from {{ ref('int_reporting_months') }} as months
    inner join standing
        on
            standing.entered_at < months.ends_at
            and (standing.left_at >= months.ends_at or standing.left_at is null)
    inner join items on items.entity_type_id = standing.entity_type_id and items.item_id = standing.item_id
),

counted as (
    select
        entity_type_id,
        pipeline_key,
        period_month,
        stage_id,
        {{ count_if("event = 'created'") }} as items_created,
        {{ count_if("event = 'won'") }} as items_done,
        {{ count_if("event = 'lost'") }} as items_failed,
        {{ count_if("event = 'entry'") }} as stage_entries,
        {{ count_if("event = 'exit'") }} as stage_exits,
        {{ sum_count('stay_seconds') }} as stay_seconds_sum,
        {{ median('stay_seconds') }} as stay_seconds_median,
        {{ count_if("event = 'open'") }} as items_open,
        {{ count_if('is_overdue') }} as items_overdue,
        {{ sum_count('cycle_seconds') }} as cycle_seconds_sum,
        {{ median('cycle_seconds') }} as cycle_seconds_median

    from events
    where period_month <= {{ month_of(as_of_date()) }}
    group by entity_type_id, pipeline_key, period_month, stage_id
)

select
    counted.entity_type_id,
    processes.title as process_name,
    counted.pipeline_key,
    coalesce(pipelines.name, '#' || cast(counted.pipeline_key as varchar)) as pipeline_name,
    counted.period_month,
    counted.stage_id,
    coalesce(stages.name, 'Не определено') as stage_name,
    stages.stage_position,
    counted.items_created,
    counted.items_done,
    counted.items_failed,
    counted.stage_entries,
    counted.stage_exits,
    {{ hours('counted.stay_seconds_sum') }} as stay_hours_sum,
    {{ hours('counted.stay_seconds_median') }} as stay_hours_median,
    counted.items_open,
    counted.items_overdue,
    {{ hours('counted.cycle_seconds_sum') }} as cycle_hours_sum,
    {{ hours('counted.cycle_seconds_median') }} as cycle_hours_median

from counted
left join {{ ref('dim_process') }} as processes on processes.entity_type_id = counted.entity_type_id
left join {{ ref('stg_bitrix24__pipelines') }} as pipelines
    on pipelines.entity_type_id = counted.entity_type_id and pipelines.pipeline_key = counted.pipeline_key
left join {{ ref('dim_stage') }} as stages
    on
        stages.entity_type_id = counted.entity_type_id
        and stages.pipeline_key = counted.pipeline_key
        and stages.stage_id = counted.stage_id
