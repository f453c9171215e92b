-- One row per change of a process item's stage. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'process_stage_history') }}
)

select
    {{ to_id('id') }} as stage_change_id,
    {{ to_int('entity_type_id') }} as entity_type_id,
    {{ to_id('owner_id') }} as item_id,
    {{ to_int('type_id') }} as change_type,
    {{ to_int('category_id') }} as pipeline_key,
    {{ to_code('stage_id') }} as stage_id,
    upper({{ to_code('stage_semantic_id') }}) as stage_semantics,
    {{ to_instant('created_time') }} as entered_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
