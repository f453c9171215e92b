-- One row per product or variation, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'products') }}
)

select
    -- ids
    {{ to_id('id') }} as product_id,
    {{ to_id('iblock_id') }} as catalog_id,
    {{ to_id('iblock_section_id') }} as section_id,
    coalesce({{ to_id(json_text('parent_id', '$.value')) }}, {{ to_id('parent_id') }}) as parent_product_id,

    -- dimensions
    {{ to_text('name') }} as name,
    {{ to_text('code') }} as code,
    {{ to_text('xml_id') }} as external_code,
    {{ to_int('type') }} as product_type,
    {{ to_id('measure') }} as measure_id,
    coalesce({{ to_int('sort') }}, 0) as sort,
    {{ to_currency('purchasing_currency') }} as purchase_currency,

    -- measures
    {{ to_decimal('purchasing_price', 26, 8) }} as purchase_price,

    -- flags
    {{ to_flag('active') }} as is_active,
    {{ to_flag('available') }} as is_available,
    {{ to_flag('vat_included') }} as is_vat_included,

    -- times
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('timestamp_x') }} as modified_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
