-- One row per currency and day from which a rate holds: given by hand, of the Central Bank, or seen in the portal.
{{ only_supported('fx_source', ['cbr', 'portal']) }}
with portal_rates as (
    select seen_date as rate_date, currency, rate_amount, rate_nominal, 'portal' as rate_source
    from {{ ref('stg_bitrix24__currency_rates') }}
    where currency is not null and seen_date is not null and rate_amount > 0 and rate_nominal > 0
),

bank_rates as (
    select rate_date, currency, rate_amount, rate_nominal, 'cbr' as rate_source
    from {{ ref('stg_cbr__rates') }}
    where {{ "true" if var('fx_source') == 'cbr' else "false" }} and rate_amount > 0 and rate_nominal > 0
),

-- the bank tells everything in roubles, so a rouble is one
roubles as (
    select distinct
        rate_date,
        'RUB' as currency,
        cast(1 as decimal(18, 6)) as rate_amount,
        cast(1 as bigint) as rate_nominal,
        rate_source
    from bank_rates
),

rates as (
    select * from portal_rates
    union all
    select * from bank_rates
    union all
    select * from roubles
),

-- rate = (amount / nominal) / (reporting amount / reporting nominal), in millionths and whole numbers
exact as (
    select
        rates.rate_date,
        rates.currency,
        rates.rate_source,
        {{ divide_rounded(
            "cast(rates.rate_amount * 1000000 as hugeint) * reporting.rate_nominal * 1000000",
            "cast(reporting.rate_amount * 1000000 as hugeint) * rates.rate_nominal"
        ) }} as millionths

    from rates
    inner join rates as reporting
        on
            reporting.currency = {{ reporting_currency() }}
            and reporting.rate_date = rates.rate_date
            and reporting.rate_source = rates.rate_source
),

told as (
    select
        rate_date,
        currency,
        rate_source,
        cast(cast(millionths as decimal(38, 0)) * cast(0.000001 as decimal(7, 6)) as decimal(18, 6)) as rate_to_rc
    from exact
    where millionths > 0
),

-- a rate of the bank holds until its next one, over weekends and holidays: the portal's of such a day is none
seen_in_force as (
    select distinct portal.rate_date, portal.currency
    from told as portal
    inner join told as bank
        on
            bank.rate_source = 'cbr'
            and bank.currency = portal.currency
            and bank.rate_date <= portal.rate_date
            and bank.rate_date > {{ shift_date('day', -15, 'portal.rate_date') }}
    where portal.rate_source = 'portal'
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

select told.rate_date, told.currency, told.rate_to_rc, told.rate_source
from told
left join manual on manual.rate_date = told.rate_date and manual.currency = told.currency
left join seen_in_force
    on
        told.rate_source = 'portal'
        and seen_in_force.rate_date = told.rate_date
        and seen_in_force.currency = told.currency
where manual.currency is null and seen_in_force.currency is null
