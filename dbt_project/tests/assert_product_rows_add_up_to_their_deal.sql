-- C3: the allocated amounts of a deal add up to its amount, to the kopeck.
select
    deals.deal_id,
    deals.amount_rc,
    sum(products.allocated_amount_rc) as allocated_amount_rc

from {{ ref('fct_deals') }} as deals
left join {{ ref('fct_deal_products') }} as products on products.deal_id = deals.deal_id
group by deals.deal_id, deals.amount_rc
having coalesce(sum(products.allocated_amount_rc), 0) <> coalesce(deals.amount_rc, 0)
