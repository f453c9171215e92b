{{ config(materialized='table') }}
-- One row per deal: its amount in the reporting currency, at the rate of the day it was closed, or of today while open.
with deals as (
    select * from {{ ref('int_deals__scoped') }}
),

closed as (
    select * from {{ ref('int_deals__closed') }}
),

dated as (
    select
        deals.deal_id,
        deals.currency,
        deals.amount,
        coalesce(closed.closed_date, {{ as_of_date() }}) as rate_date

    from deals
    left join closed on closed.deal_id = deals.deal_id
)

select
    dated.deal_id,
    dated.rate_date,
    rates.rate_to_rc,
    {{ to_rc('dated.amount', 'rates.rate_to_rc') }} as amount_rc,
    coalesce(dated.rate_date < rates.first_rate_date, false) as is_fx_approximate

from dated
left join {{ ref('int_fx_rates__periods') }} as rates
    on
        rates.currency = dated.currency
        and dated.rate_date >= rates.valid_from
        and dated.rate_date < rates.valid_to
