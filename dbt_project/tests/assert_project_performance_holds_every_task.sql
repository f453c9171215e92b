-- Every counted task of a project stands in project_performance.
with mart as (
    select
        coalesce(sum(tasks_total), 0) as tasks_total,
        coalesce(sum(tasks_done), 0) as tasks_done,
        coalesce(sum(task_returns), 0) as task_returns
    from {{ ref('project_performance') }}
),

facts as (
    select
        count(*) as tasks_total,
        {{ count_if('is_done') }} as tasks_done,
        coalesce(sum(returns_count), 0) as task_returns
    from {{ ref('fct_tasks') }}
    where is_in_scope and project_key <> 0
)

select mart.*, facts.tasks_total as fact_total, facts.tasks_done as fact_done
from mart
cross join facts
where
    mart.tasks_total <> facts.tasks_total
    or mart.tasks_done <> facts.tasks_done
    or mart.task_returns <> facts.task_returns
