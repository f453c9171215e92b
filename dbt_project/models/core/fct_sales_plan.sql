-- One row per month, scope, member of the scope and metric; a later line of the file wins.
with lines as (
    select
        period_month,
        scope,
        coalesce(scope_key, 'all') as scope_key,
        metric,
        plan_value,
        line_number,
        loaded_at
    from {{ ref('stg_files__sales_plan') }}
),

ranked as (
    select
        *,
        row_number() over (partition by period_month, scope, scope_key, metric order by line_number desc) as line_order
    from lines
)

select
    period_month,
    scope,
    scope_key,
    case when scope = 'manager' then {{ to_int('scope_key') }} end as manager_key,
    metric,
    plan_value,
    loaded_at
from ranked
where line_order = 1
