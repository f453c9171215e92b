-- One row per currency and stretch of days that share one rate; the earliest rate also stands for all days before it.
-- Join: currency, valid_from <= day < valid_to. Days before first_rate_date are an approximation; the reporting
-- currency has no such days.
with rates as (
    select * from {{ ref('fx_rates_daily') }}
),

compared as (
    select
        currency,
        rate_date,
        rate_to_rc,
        lag(rate_to_rc) over (partition by currency order by rate_date) as last_rate

    from rates
),

-- a rate that is told again begins nothing: the reporting currency, most amounts, has one stretch
ordered as (
    select
        currency,
        rate_date,
        rate_to_rc,
        lead(rate_date) over (partition by currency order by rate_date) as next_rate_date,
        min(rate_date) over (partition by currency) as first_rate_date

    from compared
    where last_rate is null or last_rate <> rate_to_rc
)

select
    currency,
    case when rate_date = first_rate_date then cast('0001-01-01' as date) else rate_date end as valid_from,
    coalesce(next_rate_date, cast('9999-12-31' as date)) as valid_to,
    rate_to_rc,
    case when currency = {{ reporting_currency() }} then cast('0001-01-01' as date) else first_rate_date end
        as first_rate_date

from ordered
