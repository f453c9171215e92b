-- C20: the managers' plans of a month together are no more than the company's. A plan may be written so on purpose.
{{ config(severity='warn') }}
select
    period_month,
    metric,
    sum(case when scope = 'manager' then plan_value end) as managers_plan,
    sum(case when scope = 'company' then plan_value end) as company_plan
from {{ ref('sales_plan_fact') }}
group by period_month, metric
having sum(case when scope = 'manager' then plan_value end) > sum(case when scope = 'company' then plan_value end)
