-- One row per lead: channel and campaign of the first and of the last touch that led to it.
select
    entity_id as lead_id,
    first_touch_channel_key,
    first_touch_utm_campaign,
    last_touch_channel_key,
    last_touch_utm_campaign,
    touches_count
from {{ ref('int_touches__first_and_last') }}
where entity = 'lead'
