-- One row per day, channel, mailing, variant and hour of sending.
with lines as (
    select
        *,
        coalesce(currency, {{ reporting_currency() }}) as spent_currency
    from {{ ref('stg_files__campaign_messages') }}
)

select
    -- dimensions
    lines.send_date,
    lines.channel,
    lines.campaign,
    lines.variant,
    coalesce(lines.send_hour, -1) as send_hour,
    lines.utm_campaign,
    lines.spent_currency as currency,

    -- measures; spent is in its currency
    lines.sent,
    coalesce(lines.delivered, 0) as delivered,
    -- nobody sees whether a text message was opened
    case when lines.channel <> 'sms' then coalesce(lines.opened, 0) end as opened,
    coalesce(lines.clicked, 0) as clicked,
    coalesce(lines.unsubscribed, 0) as unsubscribed,
    coalesce(lines.bounced, 0) as bounced,
    coalesce(lines.spent, 0) as spent,
    {{ to_rc('coalesce(lines.spent, 0)', 'rates.rate_to_rc') }} as spent_rc,

    -- flags
    coalesce(lines.send_date < rates.first_rate_date, false) as is_fx_approximate,

    -- times
    lines.loaded_at

from lines
left join {{ ref('int_fx_rates__periods') }} as rates
    on rates.currency = lines.spent_currency
    and lines.send_date >= rates.valid_from
    and lines.send_date < rates.valid_to
