-- One row per month from the first cost or sale to a known client on: what a new client costs, what a client brings.
with sales as (
    select
        {{ month_of('won_date') }} as period_month,
        count(*) as deals_won,
        {{ count_if('client_won_number = 1') }} as new_clients,
        {{ sum_money('gross_profit_rc') }} as gross_profit,
        {{ count_if('gross_profit_rc is null') }} as deals_without_margin
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won' and client_key <> 'unknown'
    group by period_month
),

clients as (
    select client_key, min(won_date) as first_won_date
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won' and client_key <> 'unknown'
    group by client_key
),

-- what was paid before the first sale belongs to it
received as (
    select
        {{ month_of('greatest(sales.revenue_date, clients.first_won_date)') }} as period_month,
        {{ sum_money('sales.revenue_rc') }} as revenue
    from {{ revenue_rows() }} as sales
    inner join clients on clients.client_key = sales.client_key
    group by period_month
),

spend as (
    select
        {{ month_of('spend_date') }} as period_month,
        {{ sum_money("case when cost_type in ('ad', 'other_marketing') then cost_rc end") }} as marketing_cost,
        {{ sum_money("case when cost_type = 'sales' then cost_rc end") }} as sales_cost
    from {{ ref('fct_ad_spend') }}
    group by period_month
),

first_months as (
    select min(period_month) as period_month from sales
    union all
    select min(period_month) as period_month from spend
),

months as (
    select distinct {{ month_of('date_day') }} as period_month
    from (
        {{ date_spine('(select min(period_month) from first_months)', as_of_date()) }}
    ) as days
),

counted as (
    select
        months.period_month,
        coalesce(spend.marketing_cost, 0) as marketing_cost,
        coalesce(spend.sales_cost, 0) as sales_cost,
        coalesce(sales.new_clients, 0) as new_clients,
        -- every client has one first sale
        sum(coalesce(sales.new_clients, 0)) over up_to_now as clients_total,
        sum(coalesce(sales.deals_won, 0)) over up_to_now as deals_won_total,
        sum(coalesce(received.revenue, 0)) over up_to_now as revenue_total,
        sum(coalesce(sales.gross_profit, 0)) over up_to_now as gross_profit_total,
        sum(coalesce(sales.deals_without_margin, 0)) over up_to_now as deals_without_margin
    from months
    left join sales on sales.period_month = months.period_month
    left join received on received.period_month = months.period_month
    left join spend on spend.period_month = months.period_month
    window up_to_now as (order by months.period_month rows between unbounded preceding and current row)
),

averaged as (
    select
        *,
        {{ cost_per('marketing_cost', 'new_clients') }} as cac_marketing,
        {{ cost_per('(marketing_cost + sales_cost)', 'new_clients') }} as cac_full,
        {{ avg_money('revenue_total', 'clients_total') }} as ltv,
        -- one sale of unknown margin makes the profit unknown from then on
        case when deals_without_margin = 0 then {{ avg_money('gross_profit_total', 'clients_total') }} end as ltv_margin
    from counted
)

select
    period_month,

    -- what a new client costs
    marketing_cost,
    sales_cost,
    new_clients,
    cac_marketing,
    cac_full,

    -- what a client has brought by the end of the month
    cast(clients_total as bigint) as clients_total,
    cast(deals_won_total as bigint) as deals_won_total,
    cast(revenue_total as decimal(18, 2)) as revenue_total,
    case when deals_without_margin = 0 then cast(gross_profit_total as decimal(18, 2)) end as gross_profit_total,
    ltv,
    ltv_margin,
    case when coalesce(cac_full, 0) <> 0
        then round(cast(coalesce(ltv_margin, ltv) as double) / cast(cac_full as double), 2)
    end as ltv_to_cac,
    case when ltv_margin is null then 'revenue' else 'gross_profit' end as ltv_basis,
    {{ avg_money('revenue_total', 'deals_won_total') }} as avg_check,
    {{ ratio('deals_won_total', 'clients_total') }} as purchases_per_client

from averaged
