-- One row per currency and day on which the portal's rates were read. Renames, casts, and RUR as RUB.
with source as (
    select * from {{ source('bitrix24', 'currency_rates') }}
),

renamed as (
    select
        {{ to_calendar_date('seen_date') }} as seen_date,
        {{ to_currency('currency') }} as currency,
        {{ to_decimal('amount', 18, 6) }} as rate_amount,
        {{ to_int('amount_cnt') }} as rate_nominal,
        {{ to_flag('base') }} as is_base,
        {{ to_instant('_loaded_at') }} as loaded_at,
        -- a portal may list the rouble under its old code too; the new one wins
        row_number() over (
            partition by {{ to_calendar_date('source.seen_date') }}, {{ to_currency('source.currency') }}
            order by case when upper(trim(source.currency)) = 'RUR' then 1 else 0 end
        ) as code_number
    from source
)

select
    seen_date,
    currency,
    rate_amount,
    rate_nominal,
    is_base,
    loaded_at
from renamed
where code_number = 1
