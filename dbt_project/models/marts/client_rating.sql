-- One row per client (unknown left out) with a counted deal: what the client has brought over the whole time.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope and client_key <> 'unknown'
),

sold_rows as (
    select
        deals.client_key,
        products.product_key,
        products.allocated_amount_rc,
        products.row_amount_rc,
        products.discount_rc
    from {{ ref('fct_deal_products') }} as products
    inner join deals on deals.deal_id = products.deal_id
    where deals.outcome = 'won'
),

discounts as (
    select
        client_key,
        {{ sum_money('discount_rc') }} as discount_amount,
        {{ sum_money('row_amount_rc') }} as row_amount
    from sold_rows
    group by client_key
),

bought as (
    select client_key, product_key, {{ sum_money('allocated_amount_rc') }} as revenue
    from sold_rows
    group by client_key, product_key
),

favourites as (
    select
        client_key,
        product_key,
        row_number() over (partition by client_key order by revenue desc, product_key) as place
    from bought
),

counted as (
    select
        client_key,
        count(*) as deals_total,
        {{ count_if("outcome = 'won'") }} as deals_won,
        {{ count_if("outcome = 'lost'") }} as deals_lost,
        {{ sum_money('revenue_rc') }} as revenue,
        case
            when {{ count_if("outcome = 'won' and gross_profit_rc is null") }} = 0
                then {{ sum_money("case when outcome = 'won' then gross_profit_rc end") }}
        end as gross_profit,
        min(won_date) as first_won_date,
        max(won_date) as last_won_date
    from deals
    group by client_key
),

ranked as (
    select
        *,
        {{ days_between('first_won_date', 'last_won_date') }} as lifetime_days,
        rank() over (order by revenue desc) as revenue_rank,
        rank() over (order by deals_won desc) as deals_rank
    from counted
),

classes as (
    select client_key, abc_class from {{ ref('client_abc') }} where as_of_month = {{ month_of(as_of_date()) }}
)

select
    -- ids
    ranked.client_key,

    -- dimensions
    clients.name as client_name,
    clients.client_type,

    -- sales
    ranked.deals_total,
    ranked.deals_won,
    ranked.deals_lost,
    ranked.revenue,
    ranked.gross_profit,
    {{ avg_money('ranked.revenue', 'ranked.deals_won') }} as avg_check,

    -- time
    ranked.first_won_date,
    ranked.last_won_date,
    {{ days_between('ranked.last_won_date', as_of_date()) }} as days_since_last_won,
    ranked.lifetime_days,
    case
        when ranked.deals_won > 1 then round(cast(ranked.lifetime_days as double) / (ranked.deals_won - 1), 2)
    end as purchase_interval_days,

    -- place among clients
    ranked.revenue_rank,
    ranked.deals_rank,
    ranked.deals_won >= {{ var('regular_min_won') }} as is_regular,

    -- habits
    coalesce(favourites.product_key, 0) as favourite_product_key,
    products.name as favourite_product_name,
    coalesce(discounts.discount_amount, 0) as discount_amount,
    coalesce(discounts.row_amount, 0) as row_amount,
    {{ ratio('discounts.discount_amount', '(discounts.discount_amount + discounts.row_amount)') }} as discount_share,
    classes.abc_class

from ranked
left join {{ ref('dim_client') }} as clients on clients.client_key = ranked.client_key
left join discounts on discounts.client_key = ranked.client_key
left join favourites on favourites.client_key = ranked.client_key and favourites.place = 1
left join {{ ref('dim_product') }} as products on products.product_key = coalesce(favourites.product_key, 0)
left join classes on classes.client_key = ranked.client_key
