-- One row per line of holidays.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'holidays') }}
)

select
    {{ to_calendar_date('date') }} as date,
    {{ to_flag('is_workday') }} as is_workday,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
