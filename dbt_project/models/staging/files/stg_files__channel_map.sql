-- One row per line of channel_map.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'channel_map') }}
)

select
    {{ to_int('priority') }} as priority,
    {{ to_tag('match_field') }} as match_field,
    {{ to_text('pattern') }} as pattern,
    {{ to_text('utm_medium_pattern') }} as utm_medium_pattern,
    {{ to_tag('channel_key') }} as channel_key,
    {{ to_text('name_ru') }} as name_ru,
    {{ to_tag('channel_group') }} as channel_group,
    {{ to_flag('is_paid') }} as is_paid,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
