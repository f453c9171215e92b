-- Costs of all months up to the running one are those of the facts; the running month holds every known client who bought.
with mart as (
    select
        sum(new_clients) as new_clients,
        sum(marketing_cost + sales_cost) as cost,
        max(clients_total) as clients_total,
        sum(case when period_month = {{ month_of(as_of_date()) }} then revenue_total end) as revenue_total
    from {{ ref('unit_economics') }}
),

buyers as (
    select distinct client_key
    from {{ ref('fct_deals') }}
    where
        is_in_scope and outcome = 'won' and client_key <> 'unknown'
        and {{ month_of('won_date') }} <= {{ month_of(as_of_date()) }}
),

clients as (
    select
        (select count(*) from buyers) as clients,
        (
            select sum(sales.revenue_rc)
            from {{ revenue_rows() }} as sales
            inner join buyers on buyers.client_key = sales.client_key
            where {{ month_of('sales.revenue_date') }} <= {{ month_of(as_of_date()) }}
        ) as revenue
),

costs as (
    select sum(cost_rc) as cost
    from {{ ref('fct_ad_spend') }}
    where
        cost_type in ('ad', 'other_marketing', 'sales')
        and {{ month_of('spend_date') }} <= {{ month_of(as_of_date()) }}
)

select *
from mart
cross join clients
cross join costs
where
    coalesce(mart.new_clients, 0) <> clients.clients
    or coalesce(mart.clients_total, 0) <> clients.clients
    or coalesce(mart.revenue_total, 0) <> coalesce(clients.revenue, 0)
    or coalesce(mart.cost, 0) <> coalesce(costs.cost, 0)
