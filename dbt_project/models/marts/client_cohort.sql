-- One row per month of first sale and number of full months since then: who of those clients bought again, and for how much.
with sales as (
    select
        client_key,
        {{ month_of('won_date') }} as sale_month,
        gross_profit_rc
    from {{ ref('fct_deals') }}
    where
        is_in_scope and outcome = 'won' and client_key <> 'unknown'
        -- the running month is not over yet
        and {{ month_of('won_date') }} < {{ month_of(as_of_date()) }}
),

members as (
    select client_key, min(sale_month) as cohort_month
    from sales
    group by client_key
),

cohorts as (
    select cohort_month, count(*) as cohort_size
    from members
    group by cohort_month
),

months as (
    select distinct {{ month_of('date_day') }} as sale_month
    from (
        {{ date_spine('(select min(cohort_month) from cohorts)', shift_date('day', -1, month_of(as_of_date()))) }}
    ) as days
),

counted as (
    select
        members.cohort_month,
        sales.sale_month,
        count(distinct sales.client_key) as clients_active,
        sum(coalesce(sales.gross_profit_rc, 0)) as gross_profit,
        {{ count_if('sales.gross_profit_rc is null') }} as deals_without_margin
    from sales
    inner join members on members.client_key = sales.client_key
    group by members.cohort_month, sales.sale_month
),

-- what was paid before the first sale belongs to it
received as (
    select
        members.cohort_month,
        greatest({{ month_of('sales.revenue_date') }}, members.cohort_month) as sale_month,
        sum(sales.revenue_rc) as revenue
    from {{ revenue_rows() }} as sales
    inner join members on members.client_key = sales.client_key
    group by members.cohort_month, sale_month
),

accumulated as (
    select
        cohorts.cohort_month,
        {{ months_between('cohorts.cohort_month', 'months.sale_month') }} as month_number,
        cohorts.cohort_size,
        coalesce(counted.clients_active, 0) as clients_active,
        coalesce(received.revenue, 0) as revenue,
        sum(coalesce(received.revenue, 0)) over up_to_now as revenue_cumulative,
        sum(coalesce(counted.gross_profit, 0)) over up_to_now as gross_profit_cumulative,
        sum(coalesce(counted.deals_without_margin, 0)) over up_to_now as deals_without_margin
    from cohorts
    inner join months on months.sale_month >= cohorts.cohort_month
    left join counted
        on counted.cohort_month = cohorts.cohort_month and counted.sale_month = months.sale_month
    left join received
        on received.cohort_month = cohorts.cohort_month and received.sale_month = months.sale_month
    window up_to_now as (
        partition by cohorts.cohort_month order by months.sale_month
        rows between unbounded preceding and current row
    )
)

select
    cohort_month,
    month_number,
    cohort_size,
    clients_active,
    cast(revenue as decimal(18, 2)) as revenue,
    cast(revenue_cumulative as decimal(18, 2)) as revenue_cumulative,
    -- one sale of unknown margin makes the profit unknown from then on
    case when deals_without_margin = 0 then cast(gross_profit_cumulative as decimal(18, 2)) end
        as gross_profit_cumulative,
    {{ ratio('clients_active', 'cohort_size') }} as retention,
    {{ avg_money('revenue_cumulative', 'cohort_size') }} as ltv
from accumulated
