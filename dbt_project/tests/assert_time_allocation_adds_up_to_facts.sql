-- Talk time and time of tasks are those of the counted facts up to today.
with mart as (
    select
        coalesce(sum(case when work_type = 'call' then seconds end), 0) as call_seconds,
        coalesce(sum(case when work_type = 'task' then seconds end), 0) as task_seconds
    from {{ ref('time_allocation') }}
),

calls as (
    select coalesce(sum(duration_seconds), 0) as seconds
    from {{ ref('fct_calls') }}
    where is_in_scope and is_connected and started_date <= {{ as_of_date() }}
),

entries as (
    select coalesce(sum(seconds), 0) as seconds
    from {{ ref('fct_time_entries') }}
    where is_in_scope and started_date <= {{ as_of_date() }}
)

select *
from mart
cross join calls
cross join entries
where mart.call_seconds <> calls.seconds or mart.task_seconds <> entries.seconds
