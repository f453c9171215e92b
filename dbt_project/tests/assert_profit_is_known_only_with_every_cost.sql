-- The profit of a deal is its revenue without the cost of its rows, and unknown as soon as one row has no cost or the
-- deal was won for an unknown amount.
{{ config(enabled=var('default_cost_rate') is none) }}
with products as (
    select
        deal_id,
        sum(cost_rc) as cost_rc,
        sum(case when has_cost then 0 else 1 end) as rows_without_cost
    from {{ ref('fct_deal_products') }}
    group by deal_id
),

deals as (
    select
        fct_deals.deal_id,
        fct_deals.revenue_rc,
        products.cost_rc,
        fct_deals.gross_profit_rc,
        fct_deals.has_margin,
        products.rows_without_cost = 0
        {%- if var('revenue_basis') == 'deal_amount' %}
        and (fct_deals.outcome <> 'won' or fct_deals.amount_rc is not null)
        {%- endif %} as should_be_known

    from {{ ref('fct_deals') }} as fct_deals
    inner join products on products.deal_id = fct_deals.deal_id
)

select deal_id, revenue_rc, cost_rc, gross_profit_rc
from deals
where
    has_margin <> should_be_known
    or coalesce(gross_profit_rc, 0) <> case when should_be_known then revenue_rc - cost_rc else 0 end
