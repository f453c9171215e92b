-- One row per stay of a lead in a status; a lead that returns to a status has two stays.
with changes as (
    select * from {{ ref('stg_bitrix24__lead_stage_history') }}
    where lead_id is not null and status_id is not null and entered_at is not null
),

leads as (
    select lead_id, is_in_scope, is_deleted, deleted_at from {{ ref('int_leads__scoped') }}
),

statuses as (
    select * from {{ ref('dim_stage') }} where entity = 'lead'
),

compared as (
    select
        *,
        lag(status_id) over lead_timeline as prev_status_id
    from changes
    -- one clock second can hold two changes, so the id breaks the tie
    window lead_timeline as (partition by lead_id order by entered_at, status_change_id)
),

-- a row that repeats the status the lead already has opens no new stay
entries as (
    select
        compared.status_change_id as interval_id,
        compared.lead_id,
        compared.status_id,
        statuses.stage_key,
        statuses.stage_position,
        coalesce(compared.status_semantics, statuses.semantics, 'P') as semantics,
        compared.entered_at,
        compared.loaded_at
    from compared
    left join statuses on statuses.stage_id = compared.status_id
    where compared.prev_status_id is null or compared.prev_status_id <> compared.status_id
),

-- a window of its own, while the rows are narrow
numbered as (
    select
        *,
        row_number() over (partition by lead_id, status_id order by entered_at, interval_id) as visit_number
    from entries
),

neighbours as (
    select
        *,
        lead(entered_at) over lead_timeline as left_at,
        lead(status_id) over lead_timeline as next_status_id,
        lead(interval_id) over lead_timeline is null as is_current,
        lag(interval_id) over lead_timeline is null as is_entry,
        lag(status_id) over lead_timeline as prev_status_id,
        lag(stage_position) over lead_timeline as prev_position,
        lag(semantics) over lead_timeline as prev_semantics
    from numbered
    window lead_timeline as (partition by lead_id order by entered_at, interval_id)
),

moves as (
    select
        *,
        coalesce(stage_position > prev_position, false) as is_forward,
        coalesce(stage_position < prev_position and semantics = 'P' and prev_semantics = 'P', false) as is_backward,
        coalesce(prev_semantics in ('S', 'F') and semantics = 'P', false) as is_reopen,
        -- the statuses jumped over: between two on the path, or before the first the lead ever had
        case
            when is_entry then greatest(coalesce(stage_position, 1) - 1, 0)
            when stage_position > prev_position then stage_position - prev_position - 1
            else 0
        end as skipped_count
    from neighbours
)

select
    moves.interval_id,
    moves.lead_id,
    moves.stage_key,
    moves.status_id,
    moves.stage_position,
    moves.semantics,
    moves.visit_number,
    moves.prev_status_id,
    moves.next_status_id,
    {{ seconds_between('moves.entered_at', 'moves.left_at') }} as duration_seconds,
    case when moves.left_at is null then {{ seconds_between('moves.entered_at', as_of()) }} end as open_seconds,
    moves.skipped_count,
    moves.is_entry,
    moves.is_forward,
    moves.is_backward,
    moves.skipped_count > 0 as is_skip,
    moves.is_reopen,
    moves.is_current,
    coalesce(leads.is_deleted, true) as is_deleted,
    coalesce(leads.is_in_scope, false) as is_in_scope,
    moves.entered_at,
    moves.left_at,
    leads.deleted_at,
    moves.loaded_at
from moves
left join leads on leads.lead_id = moves.lead_id
