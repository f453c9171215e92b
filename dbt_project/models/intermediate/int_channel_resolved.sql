-- One row per lead, deal, contact and company: its channel by the map of channels, and its campaign.
{{ config(materialized='table') }}

with leads as (
    select * from {{ ref('int_leads__scoped') }}
),

births as (
    select * from {{ ref('int_requests__births') }}
),

cards as (
    select
        'lead' as entity,
        leads.lead_id as entity_id,
        leads.utm_source,
        leads.utm_medium,
        leads.utm_campaign,
        leads.source_id,
        births.portal_number
    from leads
    left join births on births.lead_id = leads.lead_id

    union all
    select 'deal', deal_id, utm_source, utm_medium, utm_campaign, source_id, null
    from {{ ref('stg_bitrix24__deals') }}

    union all
    select 'contact', contact_id, utm_source, utm_medium, utm_campaign, source_id, null
    from {{ ref('stg_bitrix24__contacts') }}

    union all
    select 'company', company_id, utm_source, utm_medium, utm_campaign, null, null
    from {{ ref('stg_bitrix24__companies') }}
),

signals as (
    select
        entity,
        entity_id,
        {{ to_tag('utm_source') }} as utm_source,
        {{ to_tag('portal_number') }} as portal_number,
        {{ to_tag('source_id') }} as source_id,
        coalesce({{ to_tag('utm_medium') }}, '') as utm_medium,
        coalesce({{ to_tag('utm_campaign') }}, '') as utm_campaign
    from cards
),

-- each value meets the map once, however many cards carry it
signal_values as (
    select 'utm_source' as match_field, utm_source as match_value, utm_medium
    from signals
    where utm_source is not null
    union
    select 'portal_number', portal_number, utm_medium from signals where portal_number is not null
    union
    select 'source_id', source_id, utm_medium from signals where source_id is not null
),

ranked as (
    select
        signal_values.match_field,
        signal_values.match_value,
        signal_values.utm_medium,
        map.channel_key,
        row_number() over (
            partition by signal_values.match_field, signal_values.match_value, signal_values.utm_medium
            order by map.priority
        ) as rule_number
    from signal_values
    inner join {{ ref('int_channels__rules') }} as map
        on map.match_field = signal_values.match_field
        and {{ fits_whole('signal_values.match_value', 'map.pattern') }}
        and {{ fits_whole('signal_values.utm_medium', "coalesce(nullif(map.utm_medium_pattern, ''), '.*')") }}
),

rules as (
    select match_field, match_value, utm_medium, channel_key
    from ranked
    where rule_number = 1
)

select
    signals.entity,
    signals.entity_id,
    case
        when signals.utm_source is not null then coalesce(by_utm.channel_key, 'unmapped')
        when by_line.channel_key is not null then by_line.channel_key
        when signals.source_id is not null then coalesce(by_source.channel_key, 'unmapped')
        else 'unknown'
    end as channel_key,
    signals.utm_campaign
from signals
left join rules as by_utm
    on by_utm.match_field = 'utm_source'
    and by_utm.match_value = signals.utm_source and by_utm.utm_medium = signals.utm_medium
left join rules as by_line
    on by_line.match_field = 'portal_number'
    and by_line.match_value = signals.portal_number and by_line.utm_medium = signals.utm_medium
left join rules as by_source
    on by_source.match_field = 'source_id'
    and by_source.match_value = signals.source_id and by_source.utm_medium = signals.utm_medium
