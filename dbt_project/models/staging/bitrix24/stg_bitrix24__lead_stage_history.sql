-- One row per change of a lead's status. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'lead_stage_history') }}
)

select
    {{ to_id('id') }} as status_change_id,
    {{ to_id('owner_id') }} as lead_id,
    {{ to_int('type_id') }} as change_type,
    {{ to_code('status_id') }} as status_id,
    upper({{ to_code('status_semantic_id') }}) as status_semantics,
    {{ to_instant('created_time') }} as entered_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
