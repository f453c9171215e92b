-- One row per option of a custom list field, deleted options kept. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'custom_field_options') }}
)

select
    {{ to_code('entity_id') }} as entity_code,
    upper({{ to_code('field_name') }}) as field_code,
    {{ to_id('id') }} as option_id,
    {{ to_text('value') }} as label,
    {{ to_int('sort') }} as sort,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
