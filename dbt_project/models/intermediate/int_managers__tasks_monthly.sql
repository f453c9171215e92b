-- One row per month and manager with a task closed in it, or with a missed deadline in it.
select
    period_month,
    manager_key,
    {{ count_if("event = 'closed'") }} as tasks_closed,
    {{ count_if("event = 'closed' and is_on_time") }} as tasks_on_time,
    {{ count_if("event = 'closed' and has_deadline") }} as tasks_with_deadline_closed,
    {{ count_if("event = 'overdue'") }} as tasks_overdue

from {{ ref('int_tasks__events') }}
where event <> 'created'
group by period_month, manager_key
