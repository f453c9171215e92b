-- One row per attribution model, date basis, month, channel and campaign with any spend, lead, deal, win or loss.
{{ only_supported('cpa_action', ['deal', 'lead_qualified', 'deal_won']) }}
with models as (
    select 'first_touch' as attribution_model
    union all
    select 'last_touch' as attribution_model
),

bases as (
    select 'cohort' as date_basis
    union all
    select 'event' as date_basis
),

requests as (
    select
        requests.created_date,
        requests.deal_id,
        requests.won_deal_id,
        requests.is_repeat,
        requests.is_qualified,
        requests.is_junk,
        coalesce(leads.first_touch_channel_key, deals.first_touch_channel_key) as first_touch_channel_key,
        coalesce(leads.first_touch_utm_campaign, deals.first_touch_utm_campaign) as first_touch_utm_campaign,
        coalesce(leads.last_touch_channel_key, deals.last_touch_channel_key) as last_touch_channel_key,
        coalesce(leads.last_touch_utm_campaign, deals.last_touch_utm_campaign) as last_touch_utm_campaign
    from {{ ref('fct_requests') }} as requests
    -- one comparison each: with the type beside it DuckDB compares every row with every other
    left join {{ ref('int_leads__touches') }} as leads
        on leads.lead_id = case requests.request_type when 'lead' then requests.lead_id end
    left join {{ ref('int_deals__touches') }} as deals
        on deals.deal_id = case requests.request_type when 'deal' then requests.deal_id end
    where requests.is_in_scope
),

deals as (
    select
        deals.deal_id,
        deals.outcome,
        deals.created_date,
        deals.won_date,
        deals.lost_date,
        deals.client_won_number,
        deals.gross_profit_rc,
        {{ local_month('deals.acquisition_at') }} as acquisition_month,
        deals.first_touch_channel_key,
        touches.first_touch_utm_campaign,
        deals.last_touch_channel_key,
        touches.last_touch_utm_campaign
    from {{ ref('fct_deals') }} as deals
    inner join {{ ref('int_deals__touches') }} as touches on touches.deal_id = deals.deal_id
    where deals.is_in_scope
),

-- a deal is created once, won or lost once, and brings its revenue: each of these has a month of its own
deal_events as (
    select
        *,
        {{ month_of('created_date') }} as event_month,
        1 as is_created,
        0 as is_won,
        0 as is_lost,
        cast(0 as decimal(18, 2)) as revenue
    from deals

    union all

    select
        *,
        {{ month_of('won_date') }} as event_month,
        0 as is_created,
        1 as is_won,
        0 as is_lost,
        0 as revenue
    from deals
    where outcome = 'won'

    union all

    select
        *,
        {{ month_of('lost_date') }} as event_month,
        0 as is_created,
        0 as is_won,
        1 as is_lost,
        0 as revenue
    from deals
    where outcome = 'lost'

    union all

    select
        deals.*,
        {{ month_of('sales.revenue_date') }} as event_month,
        0 as is_created,
        0 as is_won,
        0 as is_lost,
        sales.revenue_rc as revenue
    from {{ revenue_rows() }} as sales
    inner join deals on deals.deal_id = sales.deal_id
),

spend as (
    select
        {{ month_of('spend_date') }} as period_month,
        channel_key,
        utm_campaign,
        sum(coalesce(cost_rc, 0)) as spend,
        sum(impressions) as impressions,
        sum(clicks) as clicks
    from {{ ref('fct_ad_spend') }}
    where cost_type in ('ad', 'other_marketing')
    group by period_month, channel_key, utm_campaign
),

spend_counted as (
    select models.attribution_model, bases.date_basis, spend.*
    from spend
    cross join models
    cross join bases
),

requests_counted as (
    select
        models.attribution_model,
        bases.date_basis,
        {{ month_of('requests.created_date') }} as period_month,
        case models.attribution_model
            when 'first_touch' then requests.first_touch_channel_key
            else requests.last_touch_channel_key
        end as channel_key,
        case models.attribution_model
            when 'first_touch' then requests.first_touch_utm_campaign
            else requests.last_touch_utm_campaign
        end as utm_campaign,
        count(*) as leads,
        sum(case when requests.is_repeat then 1 else 0 end) as leads_repeat,
        sum(case when requests.is_qualified then 1 else 0 end) as leads_qualified,
        sum(case when requests.is_junk then 1 else 0 end) as leads_junk,
        count(requests.deal_id) as leads_with_deal,
        count(requests.won_deal_id) as leads_with_won
    from requests
    cross join models
    cross join bases
    group by models.attribution_model, bases.date_basis, period_month, channel_key, utm_campaign
),

deals_counted as (
    select
        models.attribution_model,
        bases.date_basis,
        case bases.date_basis
            when 'cohort' then deal_events.acquisition_month
            else deal_events.event_month
        end as period_month,
        case models.attribution_model
            when 'first_touch' then deal_events.first_touch_channel_key
            else deal_events.last_touch_channel_key
        end as channel_key,
        case models.attribution_model
            when 'first_touch' then deal_events.first_touch_utm_campaign
            else deal_events.last_touch_utm_campaign
        end as utm_campaign,
        sum(deal_events.is_created) as deals,
        sum(deal_events.is_won) as deals_won,
        sum(deal_events.is_lost) as deals_lost,
        sum(case when deal_events.is_won = 1 and deal_events.client_won_number = 1 then 1 else 0 end) as new_clients,
        sum(deal_events.revenue) as revenue,
        sum(case when deal_events.is_won = 1 then coalesce(deal_events.gross_profit_rc, 0) else 0 end) as gross_profit,
        sum(case when deal_events.is_won = 1 and deal_events.gross_profit_rc is null then 1 else 0 end)
            as deals_without_margin
    from deal_events
    cross join models
    cross join bases
    group by models.attribution_model, bases.date_basis, period_month, channel_key, utm_campaign
),

reported as (
    select attribution_model, date_basis, period_month, channel_key, utm_campaign
    from spend_counted
    union
    select attribution_model, date_basis, period_month, channel_key, utm_campaign from requests_counted
    union
    select attribution_model, date_basis, period_month, channel_key, utm_campaign from deals_counted
),

counted as (
    select
        reported.attribution_model,
        reported.date_basis,
        reported.period_month,
        reported.channel_key,
        reported.utm_campaign,
        coalesce(spend.spend, 0) as spend,
        coalesce(spend.impressions, 0) as impressions,
        coalesce(spend.clicks, 0) as clicks,
        coalesce(requests.leads, 0) as leads,
        coalesce(requests.leads_repeat, 0) as leads_repeat,
        coalesce(requests.leads_qualified, 0) as leads_qualified,
        coalesce(requests.leads_junk, 0) as leads_junk,
        coalesce(requests.leads_with_deal, 0) as leads_with_deal,
        coalesce(requests.leads_with_won, 0) as leads_with_won,
        coalesce(deals.deals, 0) as deals,
        coalesce(deals.deals_won, 0) as deals_won,
        coalesce(deals.deals_lost, 0) as deals_lost,
        coalesce(deals.new_clients, 0) as new_clients,
        coalesce(deals.revenue, 0) as revenue,
        case when coalesce(deals.deals_without_margin, 0) = 0 then coalesce(deals.gross_profit, 0) end as gross_profit
    from reported
    left join spend_counted as spend
        on spend.attribution_model = reported.attribution_model
        and spend.date_basis = reported.date_basis
        and spend.period_month = reported.period_month
        and spend.channel_key = reported.channel_key
        and spend.utm_campaign = reported.utm_campaign
    left join requests_counted as requests
        on requests.attribution_model = reported.attribution_model
        and requests.date_basis = reported.date_basis
        and requests.period_month = reported.period_month
        and requests.channel_key = reported.channel_key
        and requests.utm_campaign = reported.utm_campaign
    left join deals_counted as deals
        on deals.attribution_model = reported.attribution_model
        and deals.date_basis = reported.date_basis
        and deals.period_month = reported.period_month
        and deals.channel_key = reported.channel_key
        and deals.utm_campaign = reported.utm_campaign
    where reported.period_month <= {{ month_of(as_of_date()) }}
),

-- months in a row in which a channel cost money and sold nothing: months of one run share month number minus rank
channel_months as (
    select
        attribution_model,
        period_month,
        channel_key,
        extract(year from period_month) * 12 + extract(month from period_month) as month_number
    from counted
    where date_basis = 'event'
    group by attribution_model, period_month, channel_key
    having sum(spend) > 0 and sum(deals_won) = 0
),

barren_runs as (
    select
        *,
        month_number - row_number() over (
            partition by attribution_model, channel_key order by month_number
        ) as run_number
    from channel_months
),

barren_months as (
    select
        attribution_model,
        period_month,
        channel_key,
        row_number() over (
            partition by attribution_model, channel_key, run_number order by month_number
        ) as zero_conversion_months
    from barren_runs
),

totalled as (
    select
        *,
        sum(spend) over (partition by attribution_model, date_basis, period_month) as month_spend,
        sum(leads) over (partition by attribution_model, date_basis, period_month) as month_leads
    from counted
)

select
    -- ids
    totalled.attribution_model,
    totalled.date_basis,
    totalled.period_month,
    totalled.channel_key,
    totalled.utm_campaign,

    -- dimensions
    channels.name_ru as channel_name_ru,
    channels.channel_group,
    channels.is_paid,

    -- measures
    cast(totalled.spend as decimal(18, 2)) as spend,
    cast(totalled.impressions as bigint) as impressions,
    cast(totalled.clicks as bigint) as clicks,
    cast(totalled.leads as bigint) as leads,
    cast(totalled.leads_repeat as bigint) as leads_repeat,
    cast(totalled.leads_qualified as bigint) as leads_qualified,
    cast(totalled.leads_junk as bigint) as leads_junk,
    cast(totalled.leads_with_deal as bigint) as leads_with_deal,
    cast(totalled.leads_with_won as bigint) as leads_with_won,
    cast(totalled.deals as bigint) as deals,
    cast(totalled.deals_won as bigint) as deals_won,
    cast(totalled.deals_lost as bigint) as deals_lost,
    cast(totalled.new_clients as bigint) as new_clients,
    cast(totalled.revenue as decimal(18, 2)) as revenue,
    cast(totalled.gross_profit as decimal(18, 2)) as gross_profit,

    -- ratios
    {{ ratio('totalled.clicks', 'totalled.impressions') }} as ctr,
    {{ cost_per('totalled.spend', 'totalled.clicks') }} as cpc,
    {{ cost_per('totalled.spend', 'totalled.leads') }} as cpl,
    {{ cost_per('totalled.spend', 'totalled.leads_qualified') }} as cpql,
    {{ cost_per('totalled.spend', {
        'deal': 'totalled.deals', 'lead_qualified': 'totalled.leads_qualified', 'deal_won': 'totalled.deals_won'
    }[var('cpa_action')]) }} as cpa,
    {{ cost_per('totalled.spend', 'totalled.deals_won') }} as cpo,
    {{ cost_per('totalled.spend', 'totalled.new_clients') }} as cac,
    {{ ratio('totalled.leads_with_deal', 'totalled.leads') }} as lead_to_deal,
    {{ ratio('totalled.leads_with_won', 'totalled.leads') }} as lead_to_won,
    {{ ratio('(totalled.revenue - totalled.spend)', 'totalled.spend') }} as romi,
    {{ ratio('(totalled.gross_profit - totalled.spend)', 'totalled.spend') }} as roi,
    {{ ratio('totalled.revenue', 'totalled.spend') }} as roas,
    {{ ratio('totalled.spend', 'totalled.revenue') }} as cost_revenue_ratio,
    {{ ratio('totalled.spend', 'totalled.month_spend') }} as spend_share,
    {{ ratio('totalled.leads', 'totalled.month_leads') }} as leads_share,
    case
        when totalled.date_basis = 'event' then coalesce(barren_months.zero_conversion_months, 0)
    end as zero_conversion_months
from totalled
left join {{ ref('dim_channel') }} as channels on channels.channel_key = totalled.channel_key
left join barren_months
    on barren_months.attribution_model = totalled.attribution_model
    and barren_months.period_month = totalled.period_month
    and barren_months.channel_key = totalled.channel_key
