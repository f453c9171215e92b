-- One row per product row of a deal, and a synthetic one (-deal_id) for a deal whose rows carry no amount.
with deals as (
    select
        scoped.deal_id,
        scoped.is_in_scope,
        scoped.is_deleted,
        scoped.loaded_at,
        case when scoped.outcome = 'won' then converted.rate_date else {{ as_of_date() }} end as cost_date,
        converted.rate_to_rc,
        converted.amount_rc

    from {{ ref('int_deals__scoped') }} as scoped
    inner join {{ ref('int_deals__converted') }} as converted on converted.deal_id = scoped.deal_id
),

priced as (
    select
        rows_of_deals.row_id,
        rows_of_deals.deal_id,
        coalesce(rows_of_deals.product_id, -1) as product_key,
        rows_of_deals.product_name,
        coalesce(rows_of_deals.quantity, 0) as quantity,
        rows_of_deals.unit_price,
        {{ row_amount_rc(
            'coalesce(rows_of_deals.unit_price, 0)', 'coalesce(rows_of_deals.quantity, 0)', 'deals.rate_to_rc'
        ) }} as row_amount_rc,
        {{ row_amount_rc(
            'coalesce(rows_of_deals.unit_discount, 0)', 'coalesce(rows_of_deals.quantity, 0)', 'deals.rate_to_rc'
        ) }} as discount_rc,
        {{ row_amount_rc(
            'costs.unit_cost', 'coalesce(rows_of_deals.quantity, 0)', 'cost_rates.rate_to_rc'
        ) }} as cost_rc,
        costs.is_historical as is_cost_historical,
        deals.amount_rc,
        deals.is_in_scope,
        deals.is_deleted,
        rows_of_deals.loaded_at

    from {{ ref('stg_bitrix24__deal_product_rows') }} as rows_of_deals
    inner join deals on deals.deal_id = rows_of_deals.deal_id
    left join {{ ref('int_products__costs') }} as costs
        on
            costs.product_key = rows_of_deals.product_id
            and deals.cost_date >= costs.valid_from
            and deals.cost_date < costs.valid_to
    left join {{ ref('int_fx_rates__periods') }} as cost_rates
        on
            cost_rates.currency = costs.currency
            and deals.cost_date >= cost_rates.valid_from
            and deals.cost_date < cost_rates.valid_to
    where rows_of_deals.row_id is not null
),

-- whole kopecks, so that shares are exact
in_kopecks as (
    select
        *,
        {{ to_kopecks('coalesce(amount_rc, 0)') }} as deal_kopecks,
        {{ to_kopecks('coalesce(row_amount_rc, 0)') }} as row_kopecks

    from priced
),

running as (
    select
        *,
        sum(row_kopecks) over (
            partition by deal_id order by row_id rows between unbounded preceding and current row
        ) as kopecks_up_to,
        sum(row_kopecks) over (partition by deal_id) as kopecks_of_rows

    from in_kopecks
),

allocated as (
    select
        *,
        case
            when kopecks_of_rows = 0 then cast(0 as decimal(18, 2))
            when amount_rc is not null
                then {{ allocated_part('deal_kopecks', 'kopecks_up_to', 'row_kopecks', 'kopecks_of_rows') }}
        end as allocated_amount_rc

    from running
),

deals_with_amounts as (
    select distinct deal_id from running where kopecks_of_rows <> 0
)

select
    row_id,
    deal_id,
    product_key,
    product_name,
    quantity,
    try_cast(unit_price as decimal(18, 2)) as unit_price,
    row_amount_rc,
    allocated_amount_rc,
    discount_rc,
    cost_rc,
    cost_rc is not null as has_cost,
    cost_rc is not null and is_cost_historical as is_cost_historical,
    is_deleted,
    is_in_scope,
    loaded_at
from allocated

union all

select
    -deals.deal_id as row_id,
    deals.deal_id,
    0 as product_key,
    'Без товаров' as product_name,
    0 as quantity,
    0 as unit_price,
    0 as row_amount_rc,
    deals.amount_rc as allocated_amount_rc,
    0 as discount_rc,
    null as cost_rc,
    false as has_cost,
    false as is_cost_historical,
    deals.is_deleted,
    deals.is_in_scope,
    deals.loaded_at
from deals
left join deals_with_amounts on deals_with_amounts.deal_id = deals.deal_id
where deals_with_amounts.deal_id is null
