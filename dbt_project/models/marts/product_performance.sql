-- One row per month, product and pipeline with anything won or lost in it; what is open stands in the running month.
{{ only_supported('abc_method', ['cumulative', 'by_count']) }}
with deals as (
    select deal_id, pipeline_key, outcome, closed_date from {{ ref('fct_deals') }} where is_in_scope
),

sold as (
    {%- if var('revenue_basis') == 'deal_amount' %}
    select
        products.product_key,
        products.has_cost,
        deals.pipeline_key,
        deals.closed_date as revenue_date,
        coalesce(products.allocated_amount_rc, 0) as revenue
    from {{ ref('fct_deal_products') }} as products
    inner join deals on deals.deal_id = products.deal_id
    where deals.outcome = 'won'
    {%- else %}
    select product_key, has_cost, pipeline_key, revenue_date, revenue_rc as revenue
    from {{ ref('int_deals__paid_products') }}
    {%- endif %}
),

dated as (
    select
        deals.deal_id,
        deals.pipeline_key,
        deals.outcome,
        {{ month_of('coalesce(deals.closed_date, ' ~ as_of_date() ~ ')') }} as period_month,
        products.product_key,
        products.quantity,
        coalesce(products.allocated_amount_rc, 0) as amount,
        coalesce(products.row_amount_rc, 0) as row_amount,
        coalesce(products.discount_rc, 0) as discount_amount,
        products.cost_rc,
        products.has_cost,
        products.is_cost_historical
    from {{ ref('fct_deal_products') }} as products
    inner join deals on deals.deal_id = products.deal_id
),

events as (
    select *, 0 as revenue, 0 as revenue_with_cost from dated

    union all

    select
        null as deal_id, pipeline_key, 'paid' as outcome, {{ month_of('revenue_date') }} as period_month, product_key,
        0 as quantity, 0 as amount, 0 as row_amount, 0 as discount_amount, 0 as cost_rc, has_cost,
        false as is_cost_historical, revenue, case when has_cost then revenue else 0 end as revenue_with_cost
    from sold
),

counted as (
    select
        period_month,
        product_key,
        pipeline_key,
        count(distinct case when outcome = 'won' then deal_id end) as deals_won,
        {{ count_if("outcome in ('won', 'paid') and not has_cost") }} as rows_without_cost,
        {{ count_if("outcome = 'won' and has_cost") }} as rows_with_cost,
        {{ count_if("outcome = 'won' and is_cost_historical") }} as rows_with_historical_cost,
        sum(case when outcome = 'won' then quantity else 0 end) as quantity,
        {{ sum_money('revenue') }} as revenue,
        {{ sum_money('revenue_with_cost') }} as revenue_with_cost,
        {{ sum_money("case when outcome = 'won' then row_amount end") }} as row_amount,
        {{ sum_money("case when outcome = 'won' then discount_amount end") }} as discount_amount,
        {{ sum_money("case when outcome = 'won' then cost_rc end") }} as cost,
        {{ sum_money("case when outcome = 'lost' then amount end") }} as lost_amount,
        sum(case when outcome = 'open' then quantity else 0 end) as open_quantity,
        {{ sum_money("case when outcome = 'open' then amount end") }} as open_amount
    from events
    -- a sale dated by a CLOSEDATE to come is in no mart yet
    where period_month <= {{ month_of(as_of_date()) }}
    group by period_month, product_key, pipeline_key
),

-- one sale of unknown cost makes the margin of the row unknown
profited as (
    select
        *,
        case when rows_without_cost = 0 then cast(revenue - cost as decimal(18, 2)) end as margin
    from counted
),

-- ABC by the rule of client_abc, within a pipeline: the 12 months that end with the month, or today
months as (
    select
        period_month,
        {{ shift_date('month', -var('abc_window_months'), shift_date('day', 1, 'window_end')) }} as window_start,
        window_end
    from (
        select distinct
            period_month,
            least({{ shift_date('day', -1, shift_date('month', 1, 'period_month')) }}, {{ as_of_date() }}) as window_end
        from counted
    ) as ends
),

valued as (
    select
        months.period_month,
        sold.pipeline_key,
        sold.product_key,
        sum(sold.revenue) as basis_value
    from months
    inner join sold on sold.revenue_date >= months.window_start and sold.revenue_date <= months.window_end
    group by months.period_month, sold.pipeline_key, sold.product_key
),

positive as (
    select
        period_month,
        pipeline_key,
        product_key,
        sum(basis_value) over (partition by period_month, pipeline_key) as total_value,
        -- a running sum over values takes all products of one value together; without them, the strictly greater stay
        sum(basis_value) over (partition by period_month, pipeline_key order by basis_value desc)
        - sum(basis_value) over (partition by period_month, pipeline_key, basis_value) as greater_sum,
        row_number() over (
            partition by period_month, pipeline_key order by basis_value desc, product_key
        ) as product_number,
        count(*) over (partition by period_month, pipeline_key) as product_count
    from valued
    where basis_value > 0
),

classed as (
    select
        period_month,
        pipeline_key,
        product_key,
        {% if var('abc_method') == 'cumulative' -%}
            {{ abc_class_cumulative('greater_sum', 'total_value') }}
        {%- else -%}
            {{ abc_class_by_count('product_number', 'product_count') }}
        {%- endif %} as abc_class
    from positive
)

select
    -- ids
    counted.period_month,
    counted.product_key,
    products.name as product_name,
    products.section_path,
    counted.pipeline_key,
    pipelines.name as pipeline_name,

    -- sales
    counted.deals_won,
    cast(counted.quantity as decimal(18, 4)) as quantity,
    counted.revenue,
    counted.row_amount,
    counted.discount_amount,
    {{ from_kopecks(divide_rounded(
        '(' ~ to_kopecks('counted.row_amount') ~ ' * 10000)', 'cast(nullif(counted.quantity, 0) * 10000 as hugeint)'
    )) }} as avg_unit_price,
    {{ ratio('counted.discount_amount', '(counted.discount_amount + counted.row_amount)') }} as discount_share,

    -- profit
    counted.cost,
    counted.revenue_with_cost,
    counted.margin,
    {{ ratio('counted.margin', 'counted.revenue') }} as margin_rate,
    {{ ratio('counted.revenue_with_cost', 'counted.revenue') }} as cost_coverage,
    counted.rows_with_cost > 0 and counted.rows_with_historical_cost = counted.rows_with_cost as is_cost_historical,

    -- what is not sold
    counted.lost_amount,
    cast(counted.open_quantity as decimal(18, 4)) as open_quantity,
    counted.open_amount,

    -- place among products of the pipeline
    rank() over (
        partition by counted.period_month, counted.pipeline_key order by counted.revenue desc
    ) as revenue_rank,
    coalesce(classed.abc_class, 'N') as abc_class

from profited as counted
left join classed
    on
        classed.period_month = counted.period_month
        and classed.pipeline_key = counted.pipeline_key
        and classed.product_key = counted.product_key
left join {{ ref('dim_product') }} as products on products.product_key = counted.product_key
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = counted.pipeline_key
