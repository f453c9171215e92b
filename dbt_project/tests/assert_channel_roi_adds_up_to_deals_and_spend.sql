-- Each attribution model and date basis of channel_roi tells the same deals, sales, new clients, revenue and spend (C2),
-- up to the running month.
{% set this_month = month_of(as_of_date()) %}
{% set is_won_by_now = "outcome = 'won' and " ~ month_of('won_date') ~ ' <= ' ~ this_month %}
with pairs as (
    select 'first_touch' as attribution_model, 'cohort' as date_basis
    union all
    select 'first_touch', 'event'
    union all
    select 'last_touch', 'cohort'
    union all
    select 'last_touch', 'event'
),

-- a pair that the mart lacks tells 0
marts as (
    select
        pairs.attribution_model,
        pairs.date_basis,
        coalesce(sum(mart.deals), 0) as deals,
        coalesce(sum(mart.deals_won), 0) as deals_won,
        coalesce(sum(mart.new_clients), 0) as new_clients,
        coalesce(sum(mart.revenue), 0) as revenue,
        coalesce(sum(mart.spend), 0) as spend
    from pairs
    left join {{ ref('channel_roi') }} as mart
        on mart.attribution_model = pairs.attribution_model and mart.date_basis = pairs.date_basis
    group by pairs.attribution_model, pairs.date_basis
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
        (
            select coalesce(sum(revenue_rc), 0)
            from {{ revenue_rows() }} as sales
            where {{ month_of('revenue_date') }} <= {{ this_month }}
        ) as revenue
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
