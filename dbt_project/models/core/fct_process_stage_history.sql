-- One row per stay of an item of a smart process in a stage.
with visits as (
    select * from {{ ref('int_items__stage_visits') }} where entity_type_id <> 31
),

items as (
    select * from {{ ref('fct_process_items') }}
)

select
    cast(visits.entity_type_id as bigint) as entity_type_id,
    visits.interval_id,
    visits.item_id,
    visits.pipeline_key,
    visits.stage_id,
    visits.stage_position,
    visits.semantics,
    visits.entered_at,
    {{ local_date('visits.entered_at') }} as entered_date,
    visits.left_at,
    {{ local_date('visits.left_at') }} as left_date,
    visits.duration_seconds,
    case when visits.is_current then {{ seconds_between('visits.entered_at', as_of()) }} end as open_seconds,
    visits.visit_number,
    visits.prev_stage_id,
    visits.next_stage_id,
    visits.is_entry,
    visits.is_forward,
    visits.is_backward,
    visits.is_skip,
    visits.skipped_count,
    visits.is_reopen,
    visits.is_pipeline_change,
    visits.is_current,
    -- the history of an item deleted before the first load has no item to inherit from
    coalesce(items.is_deleted, true) as is_deleted,
    items.deleted_at,
    coalesce(items.is_in_scope, false) as is_in_scope,
    visits.loaded_at

from visits
left join items on items.entity_type_id = visits.entity_type_id and items.item_id = visits.item_id
