-- C5: a month's own rows add up to manager_performance; with its children a department has its own and theirs.
with own as (
    select * from {{ ref('department_performance') }} where rollup = 'own'
),

with_children as (
    select * from {{ ref('department_performance') }} where rollup = 'with_children'
),

months as (
    select period_month, sum(revenue) as revenue, sum(deals_won) as deals_won, sum(managers_count) as managers
    from own
    group by period_month
),

managers as (
    select period_month, sum(revenue) as revenue, sum(deals_won) as deals_won, count(*) as managers
    from {{ ref('manager_performance') }}
    group by period_month
),

children as (
    select
        with_children.period_month,
        departments.parent_key as department_key,
        sum(with_children.revenue) as revenue,
        sum(with_children.deals_won) as deals_won
    from with_children
    inner join {{ ref('dim_department') }} as departments
        on departments.department_key = with_children.department_key
    where departments.parent_key is not null
    group by with_children.period_month, departments.parent_key
)

select managers.period_month, cast(null as bigint) as department_key, managers.revenue, months.revenue as parts_revenue
from managers
left join months on months.period_month = managers.period_month
where
    managers.revenue <> coalesce(months.revenue, 0)
    or managers.deals_won <> coalesce(months.deals_won, 0)
    or managers.managers <> coalesce(months.managers, 0)

union all

select
    coalesce(with_children.period_month, own.period_month) as period_month,
    coalesce(with_children.department_key, own.department_key) as department_key,
    with_children.revenue,
    coalesce(own.revenue, 0) + coalesce(children.revenue, 0) as parts_revenue
from with_children
full outer join own
    on own.period_month = with_children.period_month and own.department_key = with_children.department_key
left join children
    on children.period_month = with_children.period_month
    and children.department_key = with_children.department_key
where
    with_children.department_key is null
    or with_children.revenue <> coalesce(own.revenue, 0) + coalesce(children.revenue, 0)
    or with_children.deals_won <> coalesce(own.deals_won, 0) + coalesce(children.deals_won, 0)
