-- deal_journey has a row for each counted deal, with all their revenue; as many were won as there are sales.
with mart as (
    select count(*) as deals, {{ count_if("outcome = 'won'") }} as deals_won, {{ sum_money('revenue_rc') }} as revenue
    from {{ ref('deal_journey') }}
),

facts as (
    select count(*) as deals, {{ count_if("outcome = 'won'") }} as deals_won, {{ sum_money('revenue_rc') }} as revenue
    from {{ ref('fct_deals') }}
    where is_in_scope
)

select mart.*, facts.deals as fact_deals, facts.deals_won as fact_deals_won, facts.revenue as fact_revenue
from mart
cross join facts
where mart.deals <> facts.deals or mart.deals_won <> facts.deals_won or mart.revenue <> facts.revenue
