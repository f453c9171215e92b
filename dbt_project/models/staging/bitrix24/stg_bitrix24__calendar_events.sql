-- One row per occurrence of an event in one calendar. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'calendar_events') }}
)

select
    -- ids
    {{ to_id('id') }} as event_id,
    {{ to_id('parent_id') }} as meeting_id,
    {{ to_id('owner_id') }} as owner_id,
    {{ to_id('created_by') }} as created_by_id,
    {{ to_id('meeting_host') }} as host_id,

    -- dimensions
    {{ to_code('cal_type') }} as calendar_type,
    {{ to_code('event_type') }} as event_type,
    {{ to_code('accessibility') }} as accessibility,
    upper({{ to_code('meeting_status') }}) as meeting_status,
    uf_crm_cal_event as crm_links,

    -- measures
    coalesce({{ to_int('dt_length') }}, 0) as duration_seconds,

    -- flags
    {{ to_flag('is_meeting') }} as is_meeting,
    {{ to_flag('dt_skip_time') }} as is_all_day,

    -- times
    {{ dbt.dateadd(
        'second', to_int('date_from_ts_utc'), "cast('1970-01-01 00:00:00+00' as timestamptz)"
    ) }} as started_at,
    {{ dbt.dateadd(
        'second', to_int('date_to_ts_utc'), "cast('1970-01-01 00:00:00+00' as timestamptz)"
    ) }} as ended_at,
    _deleted_at is not null or {{ to_flag('deleted') }} as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
