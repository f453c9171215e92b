-- One row per currency of the portal. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'currencies') }}
)

select
    {{ to_currency('currency') }} as currency,
    {{ to_text('full_name') }} as name,
    {{ to_decimal('amount', 18, 6) }} as rate_amount,
    {{ to_int('amount_cnt') }} as rate_nominal,
    {{ to_int('decimals') }} as decimals,
    {{ to_flag('base') }} as is_base,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
