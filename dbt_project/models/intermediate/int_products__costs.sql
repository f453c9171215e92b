-- One row per product and stretch of days with one known purchase price. Join: product_key, valid_from <= day < valid_to.
with lines as (
    select
        product_id,
        valid_from,
        cost,
        coalesce(currency, {{ reporting_currency() }}) as currency,
        row_number() over (partition by product_id, valid_from order by loaded_at desc, cost) as place
    from {{ ref('stg_files__product_cost') }}
    where product_id is not null and valid_from is not null and cost is not null
),

-- the file tells from which day on a product costs so much
dated as (
    select
        product_id,
        valid_from,
        lead(valid_from) over (partition by product_id order by valid_from) as next_valid_from,
        min(valid_from) over (partition by product_id) as first_valid_from,
        cost,
        currency
    from lines
    where place = 1
),

first_days as (
    select distinct product_id, first_valid_from from dated
)

select
    product_id as product_key,
    valid_from,
    coalesce(next_valid_from, cast('9999-12-31' as date)) as valid_to,
    cast(cost as decimal(26, 8)) as unit_cost,
    currency,
    true as is_historical
from dated

union all

-- the catalogue tells only today's price, so it stands for all days before those of the file
select
    products.product_id as product_key,
    cast('0001-01-01' as date) as valid_from,
    coalesce(first_days.first_valid_from, cast('9999-12-31' as date)) as valid_to,
    products.purchase_price as unit_cost,
    products.purchase_currency as currency,
    false as is_historical
from {{ ref('stg_bitrix24__products') }} as products
left join first_days on first_days.product_id = products.product_id
where products.product_id is not null and products.purchase_price is not null
