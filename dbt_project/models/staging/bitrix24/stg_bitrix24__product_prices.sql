-- One row per price of a product, as it is now. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'product_prices') }}
)

select
    {{ to_id('id') }} as price_id,
    {{ to_id('product_id') }} as product_id,
    {{ to_id('catalog_group_id') }} as price_type_id,
    {{ to_currency('currency') }} as currency,
    {{ to_decimal('price', 26, 8) }} as price,
    {{ to_int('quantity_from') }} as quantity_from,
    {{ to_int('quantity_to') }} as quantity_to,
    {{ to_instant('timestamp_x') }} as modified_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
