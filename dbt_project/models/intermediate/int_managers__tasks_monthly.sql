-- One row per month and manager with a task closed in it, or with a missed deadline in it.
with tasks as (
    select * from {{ ref('fct_tasks') }} where is_in_scope
),

events as (
    select
        {{ month_of('closed_date') }} as period_month,
        manager_key,
        1 as is_closed,
        case when is_on_time then 1 else 0 end as is_on_time,
        case when deadline_at is not null then 1 else 0 end as has_deadline,
        0 as is_overdue
    from tasks
    where is_done and closed_date is not null

    union all

    select
        {{ local_month('deadline_at') }} as period_month,
        manager_key,
        0 as is_closed,
        0 as is_on_time,
        0 as has_deadline,
        1 as is_overdue
    from tasks
    where is_overdue
)

select
    period_month,
    manager_key,
    sum(is_closed) as tasks_closed,
    sum(is_on_time) as tasks_on_time,
    sum(has_deadline) as tasks_with_deadline_closed,
    sum(is_overdue) as tasks_overdue
from events
group by period_month, manager_key
