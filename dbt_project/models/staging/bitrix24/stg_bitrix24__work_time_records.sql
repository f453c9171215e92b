-- One row per working day of an employee, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'work_time_records') }}
)

select
    {{ to_id('id') }} as record_id,
    {{ to_id('user_id') }} as manager_id,
    {{ to_code('state') }} as state_code,
    {{ to_int('duration') }} as duration_seconds,
    coalesce({{ to_int('break_length') }}, 0) as break_seconds,
    {{ to_flag('is_approved') }} as is_approved,
    {{ to_instant('start_time') }} as started_at,
    {{ to_instant('end_time') }} as ended_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
