-- One row per line of the sales plan up to the running month: what was planned, and what was sold of it.
{% set by_month = var('department_as_of') == 'event' -%}
with plans as (
    select
        *,
        {{ to_int('scope_key') }} as member_key
    from {{ ref('fct_sales_plan') }}
    where period_month <= {{ month_of(as_of_date()) }}
),

managers as (
    select manager_key, full_name, department_key from {{ ref('dim_manager') }}
),

staff as (
    select {{ "period_month as member_month, " if by_month }}manager_key, department_key
    from {{ ref('int_managers__departments_monthly') if by_month else ref('dim_manager') }}
),

sales as (
    select
        {{ month_of('date_day') }} as period_month,
        manager_key,
        pipeline_key,
        {{ sum_money('revenue') }} as revenue,
        {{ sum_count('deals_won') }} as deals_won
    from {{ ref('sales_dynamics') }}
    group by period_month, manager_key, pipeline_key
),

members as (
    select period_month, 'company' as scope, cast(null as bigint) as member_key, revenue, deals_won
    from sales

    union all

    select period_month, 'manager' as scope, manager_key as member_key, revenue, deals_won
    from sales

    union all

    select period_month, 'pipeline' as scope, pipeline_key as member_key, revenue, deals_won
    from sales

    union all

    -- a department sells what all departments below it sell
    select
        sales.period_month,
        'department' as scope,
        departments.ancestor_key as member_key,
        sales.revenue,
        sales.deals_won
    from sales
    inner join staff
        on
            staff.manager_key = sales.manager_key
            {{ "and staff.member_month = sales.period_month" if by_month }}
    inner join {{ ref('bridge_department') }} as departments on departments.descendant_key = staff.department_key
),

facts as (
    select
        period_month,
        scope,
        member_key,
        {{ sum_money('revenue') }} as revenue,
        {{ sum_count('deals_won') }} as deals_won
    from members
    group by period_month, scope, member_key
),

workdays as (
    select
        month_start as period_month,
        {{ count_if('is_workday and date_day <= ' ~ as_of_date()) }} as workdays_elapsed,
        {{ count_if('is_workday') }} as workdays_total
    from {{ ref('dim_date') }}
    group by month_start
),

compared as (
    select
        plans.period_month,
        plans.scope,
        plans.scope_key,
        plans.member_key,
        plans.metric,
        plans.plan_value,
        cast(
            case plans.metric
                when 'revenue' then coalesce(facts.revenue, 0)
                when 'deals_won' then coalesce(facts.deals_won, 0)
            end as decimal(18, 2)
        ) as fact_value,
        coalesce(workdays.workdays_elapsed, 0) as workdays_elapsed,
        coalesce(workdays.workdays_total, 0) as workdays_total
    from plans
    left join facts
        on facts.period_month = plans.period_month
        and facts.scope = plans.scope
        and (facts.member_key = plans.member_key or plans.scope = 'company')
    left join workdays on workdays.period_month = plans.period_month
),

projected as (
    select
        *,
        {{ avg_money('plan_value * workdays_elapsed', 'workdays_total') }} as plan_to_date,
        {{ avg_money('fact_value * workdays_total', 'workdays_elapsed') }} as run_rate
    from compared
)

select
    -- ids
    projected.period_month,
    projected.scope,
    projected.scope_key,
    projected.metric,

    -- dimensions
    case projected.scope
        when 'company' then 'Компания'
        when 'manager' then coalesce(managers.full_name, '#' || projected.scope_key)
        when 'department' then coalesce(departments.name, '#' || projected.scope_key)
        when 'pipeline' then coalesce(pipelines.name, '#' || projected.scope_key)
        else '#' || projected.scope_key
    end as scope_name,
    coalesce(
        case projected.scope
            when 'manager' then managers.department_key
            when 'department' then projected.member_key
        end,
        0
    ) as department_key,

    -- measures
    projected.plan_value,
    projected.fact_value,
    cast(projected.fact_value - projected.plan_value as decimal(18, 2)) as gap,
    {{ ratio('projected.fact_value', 'projected.plan_value') }} as attainment,
    projected.workdays_elapsed,
    projected.workdays_total,
    cast(projected.plan_to_date as decimal(18, 2)) as plan_to_date,
    cast(projected.run_rate as decimal(18, 2)) as run_rate,
    {{ ratio('projected.run_rate', 'projected.plan_value') }} as run_rate_attainment
from projected
left join managers on projected.scope = 'manager' and managers.manager_key = projected.member_key
left join {{ ref('dim_department') }} as departments
    on projected.scope = 'department' and departments.department_key = projected.member_key
left join {{ ref('dim_pipeline') }} as pipelines
    on projected.scope = 'pipeline' and pipelines.pipeline_key = projected.member_key
