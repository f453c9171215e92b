-- Each attribution model and date basis of channel_roi tells the same deals, sales, new clients, revenue and spend (C2),
-- up to the running month.
{% set this_month = month_of(as_of_date()) %}
{% set is_won_by_now = "outcome = 'won' and " ~ month_of('won_date') ~ ' <= ' ~ this_month %}
with marts as (
    select
        attribution_model,
        date_basis,
        sum(deals) as deals,
        sum(deals_won) as deals_won,
        sum(new_clients) as new_clients,
        sum(revenue) as revenue,
        sum(spend) as spend
    from {{ ref('channel_roi') }}
    group by attribution_model, date_basis
),

deals as (
    select
        'cohort' as date_basis,
        count(*) as deals,
        {{ count_if("outcome = 'won'") }} as deals_won,
        {{ count_if('client_won_number = 1') }} as new_clients,
        coalesce(sum(revenue_rc), 0) as revenue
    from {{ ref('fct_deals') }}
    where is_in_scope and {{ local_month('acquisition_at') }} <= {{ this_month }}

    union all

    select
        'event' as date_basis,
        {{ count_if(month_of('created_date') ~ ' <= ' ~ this_month) }} as deals,
        {{ count_if(is_won_by_now) }} as deals_won,
        {{ count_if('client_won_number = 1 and ' ~ is_won_by_now) }} as new_clients,
        coalesce(sum(case when {{ is_won_by_now }} then revenue_rc end), 0) as revenue
    from {{ ref('fct_deals') }}
    where is_in_scope
),

ad_spend as (
    select coalesce(sum(cost_rc), 0) as spend
    from {{ ref('fct_ad_spend') }}
    where cost_type in ('ad', 'other_marketing') and {{ month_of('spend_date') }} <= {{ this_month }}
)

select marts.*, deals.deals as fact_deals, deals.revenue as fact_revenue, ad_spend.spend as fact_spend
from marts
inner join deals on deals.date_basis = marts.date_basis
cross join ad_spend
where
    marts.deals <> deals.deals
    or marts.deals_won <> deals.deals_won
    or marts.new_clients <> deals.new_clients
    or marts.revenue <> deals.revenue
    or marts.spend <> ad_spend.spend
