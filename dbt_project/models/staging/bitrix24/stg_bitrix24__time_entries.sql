-- One row per record of time spent on a task. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'time_entries') }}
)

select
    {{ to_id('id') }} as entry_id,
    {{ to_id('task_id') }} as task_id,
    {{ to_id('user_id') }} as manager_id,
    coalesce({{ to_int('seconds') }}, 0) as seconds,
    {{ to_instant('created_date') }} as created_at,
    {{ to_instant('date_start') }} as started_at,
    {{ to_instant('date_stop') }} as stopped_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
