-- One row per day, channel, mailing, variant and hour of sending, up to the running month.
with messages as (
    select
        *,
        {{ month_of('send_date') }} as send_month
    from {{ ref('fct_campaign_messages') }}
    where {{ month_of('send_date') }} <= {{ month_of(as_of_date()) }}
),

-- what the tag of a mailing brought in a month
results as (
    select
        period_month,
        utm_campaign,
        sum(leads) as leads,
        sum(deals_won) as deals_won,
        sum(revenue) as revenue
    from {{ ref('channel_roi') }}
    where attribution_model = 'last_touch' and date_basis = 'event' and utm_campaign <> ''
    group by period_month, utm_campaign
),

sessions as (
    select {{ month_of('visit_date') }} as period_month, utm_campaign, visits
    from {{ ref('fct_web_sessions') }}
),

visits as (
    select period_month, utm_campaign, sum(visits) as visits
    from sessions
    where utm_campaign <> ''
    group by period_month, utm_campaign
),

web as (
    select count(*) > 0 as is_known from sessions
)

select
    messages.send_date,
    messages.channel,
    messages.campaign,
    messages.variant,
    messages.send_hour,
    messages.utm_campaign,
    messages.sent,
    messages.delivered,
    messages.opened,
    messages.clicked,
    messages.unsubscribed,
    messages.bounced,
    messages.spent_rc as spent,
    {{ ratio('messages.delivered', 'messages.sent') }} as delivery_rate,
    {{ ratio('messages.opened', 'messages.delivered') }} as open_rate,
    {{ ratio('messages.clicked', 'messages.delivered') }} as click_rate,
    {{ ratio('messages.clicked', 'messages.opened') }} as ctor,
    case when web.is_known then cast(coalesce(visits.visits, 0) as bigint) end as visits,
    cast(coalesce(results.leads, 0) as bigint) as leads,
    cast(coalesce(results.deals_won, 0) as bigint) as deals_won,
    cast(coalesce(results.revenue, 0) as decimal(18, 2)) as revenue

from messages
cross join web
left join results
    on results.utm_campaign = messages.utm_campaign and results.period_month = messages.send_month
left join visits
    on visits.utm_campaign = messages.utm_campaign and visits.period_month = messages.send_month
