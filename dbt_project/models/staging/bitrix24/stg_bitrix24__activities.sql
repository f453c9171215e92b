-- One row per CRM activity, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'activities') }}
)

select
    -- ids
    {{ to_id('id') }} as activity_id,
    {{ to_id('owner_type_id') }} as owner_type_id,
    {{ to_id('owner_id') }} as owner_id,
    {{ to_id('associated_entity_id') }} as associated_entity_id,
    {{ to_id('responsible_id') }} as manager_id,
    {{ to_id('author_id') }} as author_id,

    -- dimensions
    {{ to_int('type_id') }} as type_id,
    {{ to_code('provider_id') }} as provider_id,
    {{ to_code('provider_type_id') }} as provider_type_id,
    {{ to_text('subject') }} as subject,
    {{ to_id('direction') }} as direction_code,
    bindings,

    -- flags
    {{ to_flag('completed') }} as is_completed,

    -- times
    {{ to_instant('created') }} as created_at,
    {{ to_instant('last_updated') }} as modified_at,
    {{ to_instant('start_time') }} as started_at,
    {{ to_instant('end_time') }} as ended_at,
    {{ to_instant('deadline') }} as deadline_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
