{# The stays of records in stages. Goes on after two CTEs: `changes` (the owner's columns, stage_change_id, change_type,
   pipeline_key, stage_id, stage_semantics, entered_at, loaded_at) and `stages` (pipeline_key, stage_id, semantics,
   stage_position). #}
{% macro stage_visits(owner_columns) -%}
{%- set owner = owner_columns | join(', ') -%}
compared as (
    select
        *,
        lag(stage_change_id) over timeline as prev_change_id,
        lag(stage_id) over timeline as prev_stage_id,
        lag(pipeline_key) over timeline as prev_pipeline_key,
        lag(change_type) over timeline as prev_change_type

    from changes
    -- one clock second can hold two changes, so the id breaks the tie
    window timeline as (partition by {{ owner }} order by entered_at, stage_change_id)
),

-- a row that names the stage the record already stands in opens no new stay: a change of pipeline (5) is
-- followed by the entry (2, 3) into the same stage, and some moves are written twice
entries as (
    select
        compared.stage_change_id as interval_id,
        {{ owner }},
        compared.pipeline_key,
        compared.stage_id,
        stages.stage_position,
        coalesce(compared.stage_semantics, stages.semantics, 'P') as semantics,
        compared.entered_at,
        compared.loaded_at

    from compared
    left join stages on stages.pipeline_key = compared.pipeline_key and stages.stage_id = compared.stage_id
    where
        compared.prev_change_id is null
        or compared.prev_stage_id <> compared.stage_id
        or (
            compared.prev_pipeline_key <> compared.pipeline_key
            and not (compared.prev_change_type = 5 and compared.change_type in (2, 3))
        )
),

-- a window of its own, while the rows are narrow
numbered as (
    select
        *,
        row_number() over (partition by {{ owner }}, pipeline_key, stage_id order by entered_at, interval_id)
            as visit_number

    from entries
),

neighbours as (
    select
        *,
        lead(entered_at) over timeline as left_at,
        lead(pipeline_key) over timeline as next_pipeline_key,
        lead(stage_id) over timeline as next_stage_id,
        lead(stage_position) over timeline as next_position,
        lead(semantics) over timeline as next_semantics,
        lag(interval_id) over timeline as prev_interval_id,
        lag(pipeline_key) over timeline as prev_pipeline_key,
        lag(stage_id) over timeline as prev_stage_id,
        lag(stage_position) over timeline as prev_position,
        lag(semantics) over timeline as prev_semantics,
        lead(interval_id) over timeline is null as is_current

    from numbered
    window timeline as (partition by {{ owner }} order by entered_at, interval_id)
),

moves as (
    select
        *,
        coalesce(prev_pipeline_key <> pipeline_key, false) as is_pipeline_change,
        coalesce(prev_pipeline_key = pipeline_key and stage_position > prev_position, false) as is_forward,
        coalesce(
            prev_pipeline_key = pipeline_key
            and stage_position < prev_position
            and semantics = 'P'
            and prev_semantics = 'P',
            false
        ) as is_backward,
        coalesce(prev_semantics in ('S', 'F') and semantics = 'P', false) as is_reopen,
        -- the stages jumped over: between two on the path, or before the first it ever stood in
        case
            when prev_interval_id is null then greatest(coalesce(stage_position, 1) - 1, 0)
            when prev_pipeline_key = pipeline_key and stage_position > prev_position
                then stage_position - prev_position - 1
            else 0
        end as skipped_count

    from neighbours
)

select
    interval_id,
    {{ owner }},
    pipeline_key,
    stage_id,
    stage_position,
    semantics,
    entered_at,
    left_at,
    {{ seconds_between('entered_at', 'left_at') }} as duration_seconds,
    visit_number,
    prev_stage_id,
    next_stage_id,
    -- where it went from there; null while it stands there
    case
        when is_current then null
        when next_pipeline_key <> pipeline_key then 'moved'
        when next_semantics = 'F' then 'lost'
        when next_semantics = 'S' or next_position > stage_position then 'forward'
        when next_position < stage_position then 'back'
        else 'other'
    end as exit_kind,
    prev_interval_id is null or is_pipeline_change as is_entry,
    is_forward,
    is_backward,
    skipped_count > 0 as is_skip,
    skipped_count,
    is_reopen,
    is_pipeline_change,
    is_current,
    loaded_at

from moves
{%- endmacro %}
