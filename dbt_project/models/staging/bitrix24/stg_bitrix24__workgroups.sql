-- One row per workgroup or project. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'workgroups') }}
)

select
    {{ to_id('id') }} as project_id,
    {{ to_id('owner_id') }} as owner_id,
    {{ to_id('scrum_master_id') }} as scrum_master_id,
    {{ to_text('name') }} as name,
    {{ to_code('type') }} as type_code,
    coalesce({{ to_int('number_of_members') }}, 0) as member_count,
    {{ to_flag('project') }} as is_project,
    {{ to_flag('active') }} as is_active,
    {{ to_flag('closed') }} as is_closed,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_calendar_date('project_date_start') }} as start_date,
    {{ to_calendar_date('project_date_finish') }} as finish_date,
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('date_update') }} as modified_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
