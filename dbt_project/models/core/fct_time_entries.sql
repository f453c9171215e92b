-- One row per record of time spent on a task.
with entries as (
    select
        *,
        -- a day entered by hand afterwards holds the day of the work in created_at and the entering in started_at
        least(created_at, started_at) as worked_at
    from {{ ref('stg_bitrix24__time_entries') }}
),

tasks as (
    select task_id, is_in_scope from {{ ref('fct_tasks') }}
)

select
    entries.entry_id,
    entries.task_id,
    coalesce(entries.manager_id, 0) as manager_key,
    entries.seconds,
    entries.is_deleted,
    (
        not entries.is_deleted
        and coalesce(tasks.is_in_scope, true)
        and not {{ in_var_list('coalesce(entries.manager_id, 0)', 'excluded_user_ids') }}
    ) as is_in_scope,
    entries.worked_at as started_at,
    {{ local_date('entries.worked_at') }} as started_date,
    entries.created_at,
    entries.deleted_at,
    entries.loaded_at
from entries
left join tasks on tasks.task_id = entries.task_id
