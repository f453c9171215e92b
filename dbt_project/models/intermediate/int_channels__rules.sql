-- One row per rule of the map of channels: those shipped, each replaced by the file's rule of the same priority.
with shipped as (
    select * from {{ ref('channel_map') }}
),

given as (
    select * from {{ ref('stg_files__channel_map') }}
)

select
    priority,
    match_field,
    pattern,
    utm_medium_pattern,
    channel_key,
    name_ru,
    channel_group,
    is_paid
from given

union all

select
    shipped.priority,
    shipped.match_field,
    shipped.pattern,
    shipped.utm_medium_pattern,
    shipped.channel_key,
    shipped.name_ru,
    shipped.channel_group,
    shipped.is_paid
from shipped
left join given on given.priority = shipped.priority
where given.priority is null
