-- One row per full month since the first sale to a known client: clients who came, came back, stayed and left.
with sales as (
    select distinct client_key, won_date
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won' and client_key <> 'unknown'
),

months as (
    select distinct
        {{ month_of('date_day') }} as period_month,
        {{ shift_date('month', 1, month_of('date_day')) }} as next_month
    from (
        {{ date_spine('(select min(won_date) from sales)', shift_date('day', -1, month_of(as_of_date()))) }}
    ) as days
),

first_sales as (
    select client_key, min(won_date) as first_won_date
    from sales
    group by client_key
),

-- every client and month for which one of the sales says anything
clients as (
    select
        months.period_month,
        sales.client_key,
        max(case
            when
                sales.won_date < months.period_month
                and sales.won_date >= {{ shift_date('day', -var('churn_inactivity_days'), 'months.period_month') }}
                then 1
            else 0
        end) = 1 as is_active_start,
        max(case
            when sales.won_date >= {{ shift_date('day', -var('churn_inactivity_days'), 'months.next_month') }} then 1
            else 0
        end) = 1 as is_active_end,
        max(case when sales.won_date >= months.period_month then 1 else 0 end) = 1 as has_bought
    from months
    inner join sales
        on sales.won_date < months.next_month
        and sales.won_date >= {{ shift_date('day', -var('churn_inactivity_days'), 'months.period_month') }}
    group by months.period_month, sales.client_key
),

counted as (
    select
        months.period_month,
        {{ count_if('clients.is_active_start') }} as clients_active_start,
        {{ count_if('clients.has_bought and first_sales.first_won_date >= months.period_month') }} as clients_new,
        {{ count_if(
            'clients.has_bought and not clients.is_active_start and first_sales.first_won_date < months.period_month'
        ) }} as clients_reactivated,
        {{ count_if('clients.is_active_start and not clients.is_active_end') }} as clients_churned,
        {{ count_if('clients.is_active_end') }} as clients_active_end
    from months
    left join clients on clients.period_month = months.period_month
    left join first_sales on first_sales.client_key = clients.client_key
    group by months.period_month
)

select
    period_month,
    clients_active_start,
    clients_new,
    clients_reactivated,
    clients_churned,
    clients_active_end,
    {{ ratio('clients_churned', 'clients_active_start') }} as churn_rate,
    round(1 - {{ ratio('clients_churned', 'clients_active_start') }}, 4) as retention_rate
from counted
