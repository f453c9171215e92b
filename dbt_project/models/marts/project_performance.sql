-- One row per project or workgroup: its tasks, its term and its budget.
with tasks as (
    select * from {{ ref('fct_tasks') }} where is_in_scope
),

counted as (
    select
        project_key,
        count(*) as tasks_total,
        {{ count_if('is_done') }} as tasks_done,
        {{ count_if('is_on_time') }} as tasks_on_time,
        {{ count_if('is_done and deadline_at is not null') }} as tasks_with_deadline_closed,
        {{ count_if('is_overdue') }} as tasks_overdue,
        {{ count_if('is_overdue and closed_at is null') }} as overdue_open,
        max(case when is_done then closed_date end) as last_closed_date,
        {{ sum_count('estimate_seconds') }} as estimate_seconds,
        {{ sum_count('spent_seconds') }} as spent_seconds,
        {{ sum_count('case when estimate_seconds > 0 then spent_seconds end') }} as spent_seconds_estimated,
        {{ sum_count('returns_count') }} as task_returns,
        {{ count_if('is_done and returns_count > 0') }} as tasks_returned

    from tasks
    group by project_key
),

lines as (
    select
        project_id,
        period_month,
        coalesce(currency, {{ reporting_currency() }}) as currency,
        budget_plan,
        budget_fact
    from {{ ref('stg_files__project_budget') }}
),

converted as (
    select
        lines.*,
        {{ to_rc('lines.budget_plan', 'rates.rate_to_rc') }} as budget_plan_rc,
        {{ to_rc('lines.budget_fact', 'rates.rate_to_rc') }} as budget_fact_rc
    from lines
    left join {{ ref('int_fx_rates__periods') }} as rates
        on rates.currency = lines.currency
        and lines.period_month >= rates.valid_from
        and lines.period_month < rates.valid_to
),

-- an amount that cannot be converted must not look smaller than it is
budgets as (
    select
        project_id,
        case when count(budget_plan) = count(budget_plan_rc) then cast(sum(budget_plan_rc) as decimal(18, 2)) end
            as budget_plan,
        case when count(budget_fact) = count(budget_fact_rc) then cast(sum(budget_fact_rc) as decimal(18, 2)) end
            as budget_fact
    from converted
    group by project_id
),

joined as (
    select
        projects.*,
        managers.full_name as owner_name,
        coalesce(counted.tasks_total, 0) as tasks_total,
        coalesce(counted.tasks_done, 0) as tasks_done,
        coalesce(counted.tasks_on_time, 0) as tasks_on_time,
        coalesce(counted.tasks_with_deadline_closed, 0) as tasks_with_deadline_closed,
        coalesce(counted.tasks_overdue, 0) as tasks_overdue,
        coalesce(counted.overdue_open, 0) as overdue_open,
        case when counted.tasks_done = counted.tasks_total then counted.last_closed_date end as date_finish_fact,
        coalesce(counted.estimate_seconds, 0) as estimate_seconds,
        coalesce(counted.spent_seconds, 0) as spent_seconds,
        coalesce(counted.spent_seconds_estimated, 0) as spent_seconds_estimated,
        budgets.budget_plan,
        budgets.budget_fact,
        coalesce(counted.task_returns, 0) as task_returns,
        coalesce(counted.tasks_returned, 0) as tasks_returned

    from {{ ref('dim_project') }} as projects
    left join counted on counted.project_key = projects.project_key
    left join budgets on budgets.project_id = projects.project_key
    left join {{ ref('dim_manager') }} as managers on managers.manager_key = projects.owner_key
    where projects.project_key <> 0
)

select
    project_key,
    name as project_name,
    owner_key,
    owner_name,
    is_project,
    is_closed,
    tasks_total,
    tasks_done,
    {{ ratio('tasks_done', 'tasks_total') }} as progress,
    tasks_on_time,
    tasks_with_deadline_closed,
    {{ ratio('tasks_on_time', 'tasks_with_deadline_closed') }} as on_time_rate,
    tasks_overdue,
    overdue_open,
    date_start,
    date_finish as date_finish_plan,
    date_finish_fact,
    {{ days_between('date_finish', 'date_finish_fact') }} as delay_days,
    {{ hours('estimate_seconds') }} as estimate_hours,
    {{ hours('spent_seconds') }} as spent_hours,
    {{ hours('spent_seconds_estimated') }} as spent_hours_estimated,
    {{ ratio('spent_seconds_estimated - estimate_seconds', 'estimate_seconds') }} as effort_deviation,
    budget_plan,
    budget_fact,
    {{ ratio('budget_fact - budget_plan', 'budget_plan') }} as budget_deviation,
    task_returns,
    tasks_returned,
    {{ ratio('tasks_returned', 'tasks_done') }} as return_rate

from joined
