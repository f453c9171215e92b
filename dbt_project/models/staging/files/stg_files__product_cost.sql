-- One row per line of product_cost.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'product_cost') }}
)

select
    {{ to_id('product_id') }} as product_id,
    {{ to_calendar_date('valid_from') }} as valid_from,
    {{ to_decimal('cost', 18, 4) }} as cost,
    {{ to_currency('currency') }} as currency,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
