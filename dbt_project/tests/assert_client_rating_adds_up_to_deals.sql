-- C4: revenue and deals of the rated clients, with those of unknown clients, are those of all counted deals.
with facts as (
    select sum(revenue_rc) as revenue, count(*) as deals from {{ ref('fct_deals') }} where is_in_scope
),

parts as (
    select revenue, deals_total as deals from {{ ref('client_rating') }}
    union all
    select revenue_rc as revenue, 1 as deals
    from {{ ref('fct_deals') }}
    where is_in_scope and client_key = 'unknown'
),

summed as (
    select sum(revenue) as revenue, sum(deals) as deals from parts
)

select facts.revenue, summed.revenue as revenue_of_parts, facts.deals, summed.deals as deals_of_parts
from facts
cross join summed
where coalesce(facts.revenue, 0) <> coalesce(summed.revenue, 0) or facts.deals <> coalesce(summed.deals, 0)
