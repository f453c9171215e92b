-- One row per currency and day from which a rate of the Central Bank holds. Renames and casts only.
with source as (
    select * from {{ source('cbr', 'rates') }}
)

select
    {{ to_calendar_date('rate_date') }} as rate_date,
    {{ to_currency('char_code') }} as currency,
    -- printed with a decimal comma
    {{ to_decimal("replace(value, ',', '.')", 18, 6) }} as rate_amount,
    {{ to_int('nominal') }} as rate_nominal,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
