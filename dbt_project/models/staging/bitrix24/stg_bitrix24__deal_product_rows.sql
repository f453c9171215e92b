-- One row per product row of a deal; a deal without rows has one row with a null row_id, the proof that it was read.
with source as (
    select * from {{ source('bitrix24', 'product_rows') }}
)

select
    -- ids
    {{ to_id('id') }} as row_id,
    {{ to_id('owner_id') }} as deal_id,
    {{ to_id('product_id') }} as product_id,

    -- dimensions
    {{ to_text('product_name') }} as product_name,

    -- measures, in the deal's currency; prices are with tax and after the discount
    {{ to_decimal('price', 26, 8) }} as unit_price,
    {{ to_decimal('quantity', 18, 4) }} as quantity,
    {{ to_decimal('discount_sum', 26, 8) }} as unit_discount,

    -- times
    {{ to_instant('_loaded_at') }} as loaded_at

from source
where owner_type = 'D'
