-- C21: the forecast has a row for each open counted deal, with its amount, and for nothing else.
select coalesce(deals.deal_id, forecast.deal_id) as deal_id, deals.amount_rc, forecast.amount_rc as forecast_amount
from (select deal_id, amount_rc from {{ ref('fct_deals') }} where is_in_scope and outcome = 'open') as deals
full outer join {{ ref('revenue_forecast') }} as forecast on forecast.deal_id = deals.deal_id
where
    deals.deal_id is null or forecast.deal_id is null
    or coalesce(deals.amount_rc, 0) <> coalesce(forecast.amount_rc, 0)
