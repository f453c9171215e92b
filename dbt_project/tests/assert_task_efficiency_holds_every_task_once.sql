-- Every counted task stands in task_efficiency by its creation, however it ended.
with mart as (
    select coalesce(sum(tasks_created), 0) as tasks from {{ ref('task_efficiency') }}
),

facts as (
    select count(*) as tasks
    from {{ ref('fct_tasks') }}
    where is_in_scope and {{ month_of('created_date') }} <= {{ month_of(as_of_date()) }}
)

select mart.tasks, facts.tasks as tasks_of_facts
from mart
cross join facts
where mart.tasks <> facts.tasks
