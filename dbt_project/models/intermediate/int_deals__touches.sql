-- One row per deal: channel and campaign of the first and of the last touch that led to it.
select
    entity_id as deal_id,
    first_touch_channel_key,
    first_touch_utm_campaign,
    last_touch_channel_key,
    last_touch_utm_campaign,
    touches_count,
    touch_path
from {{ ref('int_touches__first_and_last') }}
where entity = 'deal'
