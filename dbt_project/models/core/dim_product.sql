-- One row per product of the catalogue or of a product row; 0 stands for "no products", -1 for a row typed by hand.
with recursive catalogue as (
    select * from {{ ref('stg_bitrix24__products') }} where product_id is not null
),

sections as (
    select * from {{ ref('stg_bitrix24__product_sections') }} where section_id is not null
),

-- the way down from sections whose parent is none or gone
section_paths (section_id, path) as (
    select sections.section_id, coalesce(sections.name, '#' || cast(sections.section_id as varchar)) as path
    from sections
    left join sections as parents on parents.section_id = sections.parent_id
    where parents.section_id is null
    union all
    select
        sections.section_id,
        section_paths.path || ' / ' || coalesce(sections.name, '#' || cast(sections.section_id as varchar)) as path
    from section_paths
    inner join sections on sections.parent_id = section_paths.section_id
),

-- the price of the oldest kind, which is the base one, for the smallest quantity
prices as (
    select
        product_id,
        price,
        currency,
        row_number() over (
            partition by product_id order by price_type_id, coalesce(quantity_from, 0), price_id
        ) as place
    from {{ ref('stg_bitrix24__product_prices') }}
    where not is_deleted
),

named as (
    select
        product_id,
        product_name,
        row_number() over (partition by product_id order by row_id desc) as place
    from {{ ref('stg_bitrix24__deal_product_rows') }}
    where product_id is not null and row_id is not null
),

keys as (
    select product_id from catalogue
    union
    select product_id from named
),

described as (
    select
        keys.product_id as product_key,
        coalesce(catalogue.name, named.product_name, '#' || cast(keys.product_id as varchar)) as name,
        -- a variation lies in no section of its own
        coalesce(catalogue.section_id, parents.section_id, 0) as section_key,
        case catalogue.product_type
            when 1 then 'product'
            when 2 then 'set'
            when 3 then 'product_with_variations'
            when 4 then 'variation'
            when 7 then 'service'
            else 'other'
        end as product_type,
        catalogue.parent_product_id as parent_product_key,
        coalesce(catalogue.is_active, false) as is_active,
        coalesce(catalogue.is_deleted, true) as is_deleted,
        prices.price as base_price,
        prices.currency as base_price_currency,
        catalogue.purchase_price,
        catalogue.purchase_currency
    from keys
    left join catalogue on catalogue.product_id = keys.product_id
    left join catalogue as parents on parents.product_id = catalogue.parent_product_id
    left join named on named.product_id = keys.product_id and named.place = 1
    left join prices on prices.product_id = keys.product_id and prices.place = 1

    union all

    select
        0 as product_key, 'Без товаров' as name, 0 as section_key, 'other' as product_type, null as parent_product_key,
        true as is_active, false as is_deleted, null as base_price, null as base_price_currency,
        null as purchase_price, null as purchase_currency

    union all

    select
        -1 as product_key, 'Товар без каталога' as name, 0 as section_key, 'other' as product_type,
        null as parent_product_key, true as is_active, false as is_deleted, null as base_price,
        null as base_price_currency, null as purchase_price, null as purchase_currency
)

select
    described.product_key,
    described.name,
    described.section_key,
    coalesce(section_paths.path, 'Не определено') as section_path,
    described.product_type,
    described.parent_product_key,
    described.is_active,
    described.is_deleted,
    try_cast(described.base_price as decimal(18, 2)) as base_price,
    described.base_price_currency,
    try_cast(described.purchase_price as decimal(18, 2)) as purchase_price,
    described.purchase_currency

from described
left join section_paths on section_paths.section_id = described.section_key
