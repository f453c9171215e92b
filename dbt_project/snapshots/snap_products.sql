{% snapshot snap_products %}
-- One row per product of the catalogue and stretch of time with one price and one purchase price.
select
    products.product_id as product_key,
    dim_product.base_price,
    dim_product.base_price_currency,
    products.purchase_price,
    products.purchase_currency
from {{ ref('stg_bitrix24__products') }} as products
inner join {{ ref('dim_product') }} as dim_product on dim_product.product_key = products.product_id
{% endsnapshot %}
