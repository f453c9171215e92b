-- One row per channel: those of the map, three fixed ones, and keys that only the ad spend file names.
with map as (
    select
        channel_key,
        name_ru,
        channel_group,
        is_paid,
        row_number() over (partition by channel_key order by priority) as rule_number
    from {{ ref('int_channels__rules') }}
),

fixed as (
    select 'unknown' as channel_key, 'Не определено' as name_ru, 'unknown' as channel_group, false as is_paid
    union all
    select 'unmapped', 'Нет в карте каналов', 'unknown', false
    union all
    select 'not_allocated', 'Не распределено', 'unknown', true
),

known as (
    select * from fixed
    union all
    select channel_key, name_ru, channel_group, is_paid
    from map
    where rule_number = 1 and channel_key not in (select channel_key from fixed)
),

paid_only as (
    select distinct channel_key
    from {{ ref('stg_files__ad_spend') }}
    where channel_key is not null
)

select channel_key, name_ru, channel_group, is_paid
from known

union all

select
    paid_only.channel_key,
    '#' || paid_only.channel_key as name_ru,
    'unknown' as channel_group,
    true as is_paid
from paid_only
left join known on known.channel_key = paid_only.channel_key
where known.channel_key is null
