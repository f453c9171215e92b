-- One row per task, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'tasks') }}
)

select
    -- ids
    {{ to_id('id') }} as task_id,
    {{ to_id('parent_id') }} as parent_task_id,
    {{ to_id('group_id') }} as project_id,
    {{ to_id('flow_id') }} as flow_id,
    {{ to_id('responsible_id') }} as manager_id,
    {{ to_id('created_by') }} as creator_id,
    uf_crm_task as crm_links,

    -- dimensions
    {{ to_text('title') }} as title,
    {{ to_int('status') }} as status,
    {{ to_int('priority') }} as priority,
    upper({{ to_code('mark') }}) as mark,

    -- measures
    {{ to_int('time_estimate') }} as estimate_seconds,
    {{ to_int('time_spent_in_logs') }} as spent_seconds,

    -- times
    {{ to_instant('created_date') }} as created_at,
    {{ to_instant('changed_date') }} as modified_at,
    {{ to_instant('date_start') }} as started_at,
    {{ to_instant('deadline') }} as deadline_at,
    {{ to_instant('closed_date') }} as closed_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
