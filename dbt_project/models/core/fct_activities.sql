-- One row per CRM activity (meeting, call, e-mail, task, ...), deleted ones too.
with activities as (
    select * from {{ ref('int_activities__scoped') }}
),

owners as (
    select * from {{ ref('int_client_owners') }}
)

select
    -- ids
    activities.activity_id,
    activities.manager_key,
    activities.author_key,
    activities.owner_type_id,
    activities.owner_id,
    coalesce(owners.client_key, 'unknown') as client_key,

    -- dimensions
    activities.activity_type,
    activities.provider_id,
    activities.provider_type_id,
    activities.direction,

    -- flags
    activities.is_completed,
    coalesce(coalesce(activities.completed_at, {{ as_of() }}) > activities.deadline_at, false) as is_overdue,
    activities.is_deleted,
    activities.is_in_scope,

    -- times
    activities.started_at,
    activities.ended_at,
    activities.deadline_at,
    activities.completed_at,
    {{ local_date('activities.completed_at') }} as completed_date,
    activities.created_at,
    activities.created_date,
    activities.modified_at,
    activities.deleted_at,
    activities.loaded_at
from activities
left join owners
    on owners.owner_type_id = activities.owner_type_id and owners.owner_id = activities.owner_id
