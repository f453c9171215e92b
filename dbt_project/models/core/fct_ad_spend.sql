-- One row per day, source system, account, campaign with its tag, channel, currency and type of cost.
with spend as (
    select
        *,
        coalesce(currency, {{ reporting_currency() }}) as cost_currency
    from {{ ref('stg_files__ad_spend') }}
),

converted as (
    select
        spend.*,
        rates.rate_to_rc is not null as has_rate,
        {{ to_rc('spend.cost', 'rates.rate_to_rc') }} as cost_rc,
        coalesce(spend.spend_date < rates.first_rate_date, false) as is_fx_approximate
    from spend
    left join {{ ref('int_fx_rates__periods') }} as rates
        on rates.currency = spend.cost_currency
        and spend.spend_date >= rates.valid_from
        and spend.spend_date < rates.valid_to
),

named as (
    select
        spend_date,
        coalesce(source_system, '') as source_system,
        coalesce(account, '') as account,
        coalesce(campaign_id, '') as campaign_id,
        coalesce(campaign_name, '') as campaign_name,
        coalesce(utm_campaign, '') as utm_campaign,
        coalesce(channel_key, 'not_allocated') as channel_key,
        cost_type,
        cost_currency as currency,
        impressions,
        clicks,
        cost,
        cost_rc,
        has_rate,
        is_fx_approximate,
        loaded_at
    from converted
)

select
    -- dimensions
    spend_date,
    source_system,
    account,
    campaign_id,
    campaign_name,
    utm_campaign,
    channel_key,
    cost_type,
    currency,

    -- measures; cost is in its currency
    cast(sum(impressions) as bigint) as impressions,
    cast(sum(clicks) as bigint) as clicks,
    cast(sum(cost) as decimal(18, 2)) as cost,
    -- an amount that cannot be converted must not look smaller than it is
    case when min(case when has_rate then 1 else 0 end) = 1 then cast(sum(cost_rc) as decimal(18, 2)) end as cost_rc,

    -- flags
    max(case when is_fx_approximate then 1 else 0 end) = 1 as is_fx_approximate,

    -- times
    max(loaded_at) as loaded_at
from named
group by
    spend_date, source_system, account, campaign_id, campaign_name, utm_campaign, channel_key, cost_type, currency
