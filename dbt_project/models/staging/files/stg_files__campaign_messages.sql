-- One row per line of campaign_messages.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'campaign_messages') }}
)

select
    {{ to_calendar_date('send_date') }} as send_date,
    {{ to_tag('channel') }} as channel,
    {{ to_text('campaign') }} as campaign,
    coalesce({{ to_tag('utm_campaign') }}, '') as utm_campaign,
    coalesce({{ to_text('variant') }}, '') as variant,
    {{ to_int('send_hour') }} as send_hour,
    {{ to_int('sent') }} as sent,
    {{ to_int('delivered') }} as delivered,
    {{ to_int('opened') }} as opened,
    {{ to_int('clicked') }} as clicked,
    {{ to_int('unsubscribed') }} as unsubscribed,
    {{ to_int('bounced') }} as bounced,
    {{ to_money('spent') }} as spent,
    {{ to_currency('currency') }} as currency,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
