-- One row per stay of a deal in a stage.
with visits as (
    select * from {{ ref('int_deals__stage_visits') }}
),

deals as (
    select * from {{ ref('int_deals__scoped') }}
)

select
    visits.interval_id,
    visits.deal_id,
    visits.pipeline_key,
    visits.stage_id,
    visits.stage_position,
    visits.semantics,
    visits.entered_at,
    {{ local_date('visits.entered_at') }} as entered_date,
    visits.left_at,
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
    -- the history of a deal deleted before the first load has no deal to inherit from
    coalesce(deals.is_deleted, true) as is_deleted,
    deals.deleted_at,
    coalesce(deals.is_in_scope, false) as is_in_scope,
    visits.loaded_at

from visits
left join deals on deals.deal_id = visits.deal_id
