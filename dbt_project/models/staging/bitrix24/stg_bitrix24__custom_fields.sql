-- One row per custom field of the CRM. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'custom_fields') }}
)

select
    {{ to_code('entity_id') }} as entity_code,
    upper({{ to_code('field_name') }}) as field_code,
    {{ to_code('user_type_id') }} as field_type,
    {{ to_flag('multiple') }} as is_multiple,
    -- a text, or an object by language where userfieldconfig.list gives it
    coalesce(
        {{ json_text('edit_form_label', '$.ru') }},
        {{ json_text('list_column_label', '$.ru') }},
        case when left(edit_form_label, 1) <> '{' then {{ to_text('edit_form_label') }} end,
        case when left(list_column_label, 1) <> '{' then {{ to_text('list_column_label') }} end
    ) as label,
    settings,
    _deleted_at is null and _loaded_at = max(_loaded_at) over (partition by entity_id) as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
