-- One row per line of ad_spend.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'ad_spend') }}
)

select
    {{ to_calendar_date('spend_date') }} as spend_date,
    {{ to_tag('source_system') }} as source_system,
    {{ to_text('account') }} as account,
    {{ to_text('campaign_id') }} as campaign_id,
    {{ to_text('campaign_name') }} as campaign_name,
    {{ to_tag('utm_campaign') }} as utm_campaign,
    {{ to_tag('channel_key') }} as channel_key,
    coalesce({{ to_tag('cost_type') }}, 'ad') as cost_type,
    -- empty: the reporting currency
    {{ to_currency('currency') }} as currency,
    coalesce({{ to_int('impressions') }}, 0) as impressions,
    coalesce({{ to_int('clicks') }}, 0) as clicks,
    {{ to_money('cost') }} as cost,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
