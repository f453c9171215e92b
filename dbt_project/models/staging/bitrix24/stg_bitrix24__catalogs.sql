-- One row per catalogue of products or of their variations. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'catalogs') }}
)

select
    {{ to_id('iblock_id') }} as catalog_id,
    {{ to_id('product_iblock_id') }} as product_catalog_id,
    {{ to_text('name') }} as name,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
