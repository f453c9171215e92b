-- One row per lead and deal, deleted ones too, as a touch of its client; touch_number is the order of touches (R15).
{{ config(materialized='table') }}

with cards as (
    select
        'lead' as entity,
        0 as entity_order,  -- a lead comes before the deal made of it in the same second
        lead_id as entity_id,
        cast(null as bigint) as own_lead_id,
        is_in_scope,
        created_at
    from {{ ref('int_leads__scoped') }}

    union all

    select
        'deal' as entity,
        1 as entity_order,
        deal_id as entity_id,
        lead_id as own_lead_id,
        is_in_scope,
        created_at
    from {{ ref('int_deals__scoped') }}
)

select
    cards.entity,
    cards.entity_id,
    row_number() over (order by cards.created_at, cards.entity_order, cards.entity_id) as touch_number,
    cards.own_lead_id,
    links.client_key,
    channels.channel_key,
    channels.utm_campaign,
    cards.is_in_scope,
    cards.created_at
from cards
inner join {{ ref('int_client_links') }} as links
    on links.entity = cards.entity and links.entity_id = cards.entity_id
inner join {{ ref('int_channel_resolved') }} as channels
    on channels.entity = cards.entity and channels.entity_id = cards.entity_id
