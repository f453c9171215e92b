-- One row per line of web_sessions.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'web_sessions') }}
)

select
    {{ to_calendar_date('date') }} as date,
    coalesce({{ to_tag('utm_source') }}, '') as utm_source,
    coalesce({{ to_tag('utm_medium') }}, '') as utm_medium,
    coalesce({{ to_tag('utm_campaign') }}, '') as utm_campaign,
    {{ to_int('visits') }} as visits,
    {{ to_int('users') }} as users,
    {{ to_int('goal_reaches') }} as goal_reaches,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
