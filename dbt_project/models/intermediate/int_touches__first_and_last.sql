-- One row per lead and deal: channel and campaign of the first and of the last touch that led to it, and all between.
{{ config(materialized='table') }}

with touches as (
    select * from {{ ref('int_touches') }}
),

usable as (
    select * from touches where is_in_scope
),

-- what led to a card: itself, the lead it was made of, and what its client did in the window before it
considered as (
    select
        touch_number as card_number,
        touch_number,
        channel_key
    from touches

    union all

    select
        deals.touch_number as card_number,
        leads.touch_number,
        leads.channel_key
    from touches as deals
    inner join usable as leads on leads.entity = 'lead' and leads.entity_id = deals.own_lead_id
    where deals.entity = 'deal'

    union all

    select
        cards.touch_number as card_number,
        earlier.touch_number,
        earlier.channel_key
    from touches as cards
    inner join usable as earlier
        on earlier.client_key = cards.client_key
        and earlier.touch_number < cards.touch_number
        and earlier.created_at >= {{ shift_hours('cards.created_at', -24 * var('attribution_window_days')) }}
    where
        cards.client_key <> 'unknown'
        -- its own lead is there already
        and not (earlier.entity = 'lead' and earlier.entity_id = coalesce(cards.own_lead_id, 0))
),

-- a touch nobody can name counts only where no touch can be named
ends as (
    select
        card_number,
        coalesce(min(case when channel_key <> 'unknown' then touch_number end), min(touch_number)) as first_number,
        coalesce(max(case when channel_key <> 'unknown' then touch_number end), max(touch_number)) as last_number,
        coalesce(nullif(count(case when channel_key <> 'unknown' then 1 end), 0), count(*)) as touches_count,
        -- null when no touch can be named, the only one when there is one
        max(case when channel_key <> 'unknown' then channel_key end) as named_channel_key
    from considered
    group by card_number
),

-- gathering holds every list in memory, so only the few that have two names or more are gathered
paths as (
    select
        considered.card_number,
        {{ path_of('considered.channel_key', ['considered.touch_number']) }} as touch_path
    from considered
    inner join ends on ends.card_number = considered.card_number
    where ends.named_channel_key is not null and ends.touches_count > 1 and considered.channel_key <> 'unknown'
    group by considered.card_number
)

select
    cards.entity,
    cards.entity_id,
    first_touch.channel_key as first_touch_channel_key,
    first_touch.utm_campaign as first_touch_utm_campaign,
    last_touch.channel_key as last_touch_channel_key,
    last_touch.utm_campaign as last_touch_utm_campaign,
    ends.touches_count,
    coalesce(
        paths.touch_path,
        ends.named_channel_key,
        'unknown' || repeat(' > unknown', cast(ends.touches_count - 1 as integer))
    ) as touch_path
from ends
left join paths on paths.card_number = ends.card_number
inner join touches as cards on cards.touch_number = ends.card_number
inner join touches as first_touch on first_touch.touch_number = ends.first_number
inner join touches as last_touch on last_touch.touch_number = ends.last_number
