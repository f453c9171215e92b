-- One row per currency and day on which its rate was seen in the portal or given by hand, told in the reporting one.
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
),

portal as (
    select
        rate_date,
        currency,
        cast(cast(millionths as decimal(38, 0)) * cast(0.000001 as decimal(7, 6)) as decimal(18, 6)) as rate_to_rc
    from exact
),

-- the reporting currency is worth itself, whatever the file says
manual as (
    select rate_date, currency, rate as rate_to_rc
    from {{ ref('stg_files__fx_rates_manual') }}
    where currency <> {{ reporting_currency() }}
)

select rate_date, currency, rate_to_rc, 'manual' as rate_source
from manual

union all

select portal.rate_date, portal.currency, portal.rate_to_rc, 'portal' as rate_source
from portal
left join manual on manual.rate_date = portal.rate_date and manual.currency = portal.currency
where manual.currency is null
