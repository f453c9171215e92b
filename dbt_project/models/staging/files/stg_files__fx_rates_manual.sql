-- One row per line of fx_rates_manual.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'fx_rates_manual') }}
)

select
    {{ to_calendar_date('rate_date') }} as rate_date,
    {{ to_currency('currency') }} as currency,
    {{ to_decimal('rate', 18, 6) }} as rate,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
