-- One row per custom field of leads, deals, contacts, companies. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'custom_fields') }}
)

select
    {{ to_code('entity_id') }} as entity_code,
    upper({{ to_code('field_name') }}) as field_code,
    {{ to_code('user_type_id') }} as field_type,
    {{ to_flag('multiple') }} as is_multiple,
    settings,
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
