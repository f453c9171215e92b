-- C1: month by month, all managers together sell what the company sells.
with company as (
    select {{ month_of('date_day') }} as period_month, sum(revenue) as revenue
    from {{ ref('sales_dynamics') }}
    group by period_month
),

managers as (
    select period_month, sum(revenue) as revenue from {{ ref('manager_performance') }} group by period_month
)

select
    coalesce(company.period_month, managers.period_month) as period_month,
    company.revenue as company_revenue,
    managers.revenue as managers_revenue
from company
full outer join managers on managers.period_month = company.period_month
where coalesce(company.revenue, 0) <> coalesce(managers.revenue, 0)
