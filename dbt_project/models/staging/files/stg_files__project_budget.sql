-- One row per line of project_budget.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'project_budget') }}
)

select
    {{ to_id('project_id') }} as project_id,
    {{ to_calendar_date('period_month') }} as period_month,
    {{ to_money('budget_plan') }} as budget_plan,
    {{ to_money('budget_fact') }} as budget_fact,
    {{ to_currency('currency') }} as currency,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
