-- Revenue of a calculation month's clients, together with that of unknown clients, is the revenue of its window (C4).
with windows as (
    select * from {{ ref('int_abc_windows') }}
),

sales as (
    select client_key, revenue_date, revenue_rc from {{ revenue_rows() }} as received
),

facts as (
    select
        windows.as_of_month,
        sum(sales.revenue_rc) as revenue,
        sum(case when sales.client_key = 'unknown' then sales.revenue_rc else 0 end) as unknown_revenue
    from windows
    inner join sales on sales.revenue_date between windows.window_start and windows.window_end
    group by windows.as_of_month
),

marts as (
    select as_of_month, sum(revenue) as revenue
    from {{ ref('client_abc') }}
    group by as_of_month
)

select facts.as_of_month, facts.revenue, facts.unknown_revenue, marts.revenue as mart_revenue
from facts
left join marts on marts.as_of_month = facts.as_of_month
where coalesce(marts.revenue, 0) + facts.unknown_revenue <> facts.revenue
