-- One row per product and stretch of days with one known purchase price. Join: product_key, valid_from <= day < valid_to.
-- The file product_cost wins from its first day on; before that a price counts from the day a snapshot saw it, and
-- today's price where none did.
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
        cost,
        currency
    from lines
    where place = 1
),

first_days as (
    select product_id, min(valid_from) as file_from from dated group by product_id
),

-- the last version of a day is that day's
versions as (
    select
        product_key,
        purchase_price,
        purchase_currency,
        {{ local_date('valid_from') }} as valid_from,
        row_number() over (partition by product_key, {{ local_date('valid_from') }} order by valid_from desc) as place
    from {{ ref('snap_products') }}
),

seen as (
    select
        product_key,
        valid_from,
        lead(valid_from) over (partition by product_key order by valid_from) as next_valid_from,
        purchase_price,
        purchase_currency
    from versions
    where place = 1
),

first_seen as (
    select product_key, min(valid_from) as seen_from from seen group by product_key
),

catalogue as (
    select product_id as product_key, purchase_price, purchase_currency
    from {{ ref('stg_bitrix24__products') }}
    where product_id is not null
),

stretches as (
    select
        catalogue.product_key,
        cast('0001-01-01' as date) as valid_from,
        coalesce(first_seen.seen_from, cast('9999-12-31' as date)) as valid_to,
        catalogue.purchase_price as unit_cost,
        catalogue.purchase_currency as currency,
        false as is_historical
    from catalogue
    left join first_seen on first_seen.product_key = catalogue.product_key

    union all

    -- a version without a price tells nothing, so today's price serves
    select
        seen.product_key,
        seen.valid_from,
        coalesce(seen.next_valid_from, cast('9999-12-31' as date)) as valid_to,
        coalesce(seen.purchase_price, catalogue.purchase_price) as unit_cost,
        case when seen.purchase_price is null then catalogue.purchase_currency else seen.purchase_currency end as currency,
        seen.purchase_price is not null as is_historical
    from seen
    left join catalogue on catalogue.product_key = seen.product_key
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

select
    stretches.product_key,
    stretches.valid_from,
    least(stretches.valid_to, coalesce(first_days.file_from, stretches.valid_to)) as valid_to,
    stretches.unit_cost,
    stretches.currency,
    stretches.is_historical
from stretches
left join first_days on first_days.product_id = stretches.product_key
where
    stretches.unit_cost is not null
    and stretches.valid_from < coalesce(first_days.file_from, stretches.valid_to)
