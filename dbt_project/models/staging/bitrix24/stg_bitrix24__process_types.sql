-- One row per type of smart processes. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'process_types') }}
)

select
    {{ to_int('entity_type_id') }} as entity_type_id,
    {{ to_id('id') }} as type_id,
    {{ to_text('title') }} as title,
    {{ to_text('code') }} as code,
    {{ to_flag('is_categories_enabled') }} as has_pipelines,
    {{ to_flag('is_stages_enabled') }} as has_stages,
    {{ to_flag('is_begin_close_dates_enabled') }} as has_dates,
    {{ to_flag('is_client_enabled') }} as has_client,
    {{ to_flag('is_link_with_products_enabled') }} as has_products,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_instant('created_time') }} as created_at,
    {{ to_instant('updated_time') }} as modified_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
