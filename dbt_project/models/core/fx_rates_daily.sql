-- One row per day on which rates were seen and currency: its rate to the reporting currency.
{{ only_supported('fx_source', ['portal']) }}
with rates as (
    select * from {{ ref('stg_bitrix24__currency_rates') }}
    where currency is not null and seen_date is not null and rate_amount > 0 and rate_nominal > 0
),

reporting as (
    select * from rates where currency = {{ reporting_currency() }}
),

-- rate = (amount / nominal) / (reporting amount / reporting nominal), in millionths and whole numbers
exact as (
    select
        rates.seen_date as rate_date,
        rates.currency,
        {{ divide_rounded(
            "cast(rates.rate_amount * 1000000 as hugeint) * reporting.rate_nominal * 1000000",
            "cast(reporting.rate_amount * 1000000 as hugeint) * rates.rate_nominal"
        ) }} as millionths

    from rates
    inner join reporting on reporting.seen_date = rates.seen_date
)

select
    rate_date,
    currency,
    cast(cast(millionths as decimal(38, 0)) * cast(0.000001 as decimal(7, 6)) as decimal(18, 6)) as rate_to_rc,
    'portal' as rate_source

from exact
