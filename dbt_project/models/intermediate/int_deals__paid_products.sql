-- One row per amount received for a deal and row of fct_deal_products of the deal: the part that falls to it.
with received as (
    select
        deal_id,
        revenue_date,
        {{ sum_money('revenue_rc') }} as revenue_rc
    from {{ ref('int_deals__paid') }}
    group by deal_id, revenue_date
),

rows_of_deals as (
    select
        deal_id,
        row_id,
        product_key,
        has_cost,
        {{ to_kopecks('coalesce(row_amount_rc, 0)') }} as row_kopecks,
        sum({{ to_kopecks('coalesce(row_amount_rc, 0)') }}) over (
            partition by deal_id order by row_id rows between unbounded preceding and current row
        ) as kopecks_up_to,
        sum({{ to_kopecks('coalesce(row_amount_rc, 0)') }}) over (partition by deal_id) as kopecks_of_rows
    from {{ ref('fct_deal_products') }}
)

select
    received.deal_id,
    received.revenue_date,
    rows_of_deals.row_id,
    rows_of_deals.product_key,
    deals.pipeline_key,
    rows_of_deals.has_cost,
    case
        when rows_of_deals.kopecks_of_rows <> 0 then {{ allocated_part(
            to_kopecks('received.revenue_rc'), 'rows_of_deals.kopecks_up_to', 'rows_of_deals.row_kopecks',
            'rows_of_deals.kopecks_of_rows'
        ) }}
        -- rows that carry no amount leave it to the synthetic one
        when rows_of_deals.row_id < 0 then received.revenue_rc
        else 0
    end as revenue_rc
from received
inner join rows_of_deals on rows_of_deals.deal_id = received.deal_id
inner join {{ ref('int_deals__scoped') }} as deals on deals.deal_id = received.deal_id
