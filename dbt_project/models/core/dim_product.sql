-- One row per product that a product row names; 0 stands for "no products", -1 for a row typed by hand.
with named as (
    select
        product_id,
        product_name,
        row_number() over (partition by product_id order by row_id desc) as place

    from {{ ref('stg_bitrix24__deal_product_rows') }}
    where product_id is not null and row_id is not null
)

select
    product_id as product_key,
    coalesce(product_name, '#' || cast(product_id as varchar)) as name
from named
where place = 1

union all
select 0 as product_key, 'Без товаров' as name
union all
select -1 as product_key, 'Товар без каталога' as name
