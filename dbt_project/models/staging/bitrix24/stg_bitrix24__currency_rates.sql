-- One row per currency and day on which the portal's rates were read. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'currency_rates') }}
)

select
    {{ to_calendar_date('seen_date') }} as seen_date,
    {{ to_currency('currency') }} as currency,
    {{ to_decimal('amount', 18, 6) }} as rate_amount,
    {{ to_int('amount_cnt') }} as rate_nominal,
    {{ to_flag('base') }} as is_base,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
