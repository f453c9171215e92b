-- C16: the sizes of all cohorts add up to the known clients who bought before the running month, their revenue to those sales.
with buyers as (
    select distinct client_key
    from {{ ref('fct_deals') }}
    where
        is_in_scope and outcome = 'won' and client_key <> 'unknown'
        and {{ month_of('won_date') }} < {{ month_of(as_of_date()) }}
),

facts as (
    select
        (select count(*) from buyers) as clients,
        (
            select sum(sales.revenue_rc)
            from {{ revenue_rows() }} as sales
            inner join buyers on buyers.client_key = sales.client_key
            where {{ month_of('sales.revenue_date') }} < {{ month_of(as_of_date()) }}
        ) as revenue
),

marts as (
    select
        sum(case when month_number = 0 then cohort_size else 0 end) as clients,
        sum(revenue) as revenue
    from {{ ref('client_cohort') }}
)

select facts.clients, marts.clients as clients_of_cohorts, facts.revenue, marts.revenue as revenue_of_cohorts
from facts
cross join marts
where facts.clients <> coalesce(marts.clients, 0) or coalesce(facts.revenue, 0) <> coalesce(marts.revenue, 0)
