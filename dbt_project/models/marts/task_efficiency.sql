-- One row per month, manager and project with a task created or closed in it, or with a missed deadline in it.
with events as (
    select * from {{ ref('int_tasks__events') }} where period_month <= {{ month_of(as_of_date()) }}
),

counted as (
    select
        period_month,
        manager_key,
        project_key,
        {{ count_if("event = 'created'") }} as tasks_created,
        {{ count_if("event = 'closed'") }} as tasks_closed,
        {{ count_if("event = 'closed' and is_on_time") }} as tasks_on_time,
        {{ count_if("event = 'closed' and has_deadline") }} as tasks_with_deadline_closed,
        {{ count_if("event = 'overdue'") }} as tasks_overdue,
        {{ count_if("event = 'overdue' and is_open") }} as tasks_overdue_open,
        {{ sum_count('close_seconds') }} as close_seconds_sum,
        {{ median('close_seconds') }} as close_seconds_median,
        {{ sum_count("case when event = 'closed' then estimate_seconds end") }} as estimate_seconds,
        {{ sum_count("case when event = 'closed' then spent_seconds end") }} as spent_seconds,
        {{ count_if("event = 'closed' and mark = 'P'") }} as marks_positive,
        {{ count_if("event = 'closed' and mark = 'N'") }} as marks_negative,
        {{ sum_count("case when event = 'closed' then returns_count end") }} as task_returns

    from events
    group by period_month, manager_key, project_key
)

select
    counted.period_month,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.project_key,
    projects.name as project_name,
    counted.tasks_created,
    counted.tasks_closed,
    counted.tasks_on_time,
    counted.tasks_with_deadline_closed,
    {{ ratio('counted.tasks_on_time', 'counted.tasks_with_deadline_closed') }} as on_time_rate,
    counted.tasks_overdue,
    counted.tasks_overdue_open,
    {{ hours('counted.close_seconds_sum') }} as close_hours_sum,
    {{ hours('counted.close_seconds_median') }} as close_hours_median,
    {{ hours('counted.estimate_seconds') }} as estimate_hours,
    {{ hours('counted.spent_seconds') }} as spent_hours,
    counted.marks_positive,
    counted.marks_negative,
    {{ ratio('counted.marks_positive', 'counted.marks_positive + counted.marks_negative') }} as positive_mark_rate,
    counted.task_returns

from counted
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
left join {{ ref('dim_project') }} as projects on projects.project_key = counted.project_key
