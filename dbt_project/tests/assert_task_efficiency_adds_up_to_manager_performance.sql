-- C19: the tasks of all projects are those of the managers, month by month.
with projects as (
    select
        period_month,
        manager_key,
        sum(tasks_closed) as tasks_closed,
        sum(tasks_on_time) as tasks_on_time,
        sum(tasks_with_deadline_closed) as tasks_with_deadline_closed,
        sum(tasks_overdue) as tasks_overdue
    from {{ ref('task_efficiency') }}
    group by period_month, manager_key
),

managers as (
    select * from {{ ref('manager_performance') }}
)

select
    coalesce(projects.period_month, managers.period_month) as period_month,
    coalesce(projects.manager_key, managers.manager_key) as manager_key,
    projects.tasks_closed,
    managers.tasks_closed as tasks_closed_of_manager
from projects
full outer join managers
    on managers.period_month = projects.period_month and managers.manager_key = projects.manager_key
where
    coalesce(projects.tasks_closed, 0) <> coalesce(managers.tasks_closed, 0)
    or coalesce(projects.tasks_on_time, 0) <> coalesce(managers.tasks_on_time, 0)
    or coalesce(projects.tasks_with_deadline_closed, 0) <> coalesce(managers.tasks_with_deadline_closed, 0)
    or coalesce(projects.tasks_overdue, 0) <> coalesce(managers.tasks_overdue, 0)
