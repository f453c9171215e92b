-- One row per calculation month and client with a sale in its window: how even the client's months are (XYZ).
{{ config(materialized='table') }}

with windows as (
    select * from {{ ref('int_abc_windows') }}
),

sales as (
    select
        client_key,
        {{ month_of('revenue_date') }} as sale_month,
        sum(revenue_rc) as revenue
    from {{ revenue_rows() }} as sales
    where client_key <> 'unknown'
    group by client_key, sale_month
),

first_sales as (
    select client_key, {{ month_of('min(won_date)') }} as first_sale_month
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won' and client_key <> 'unknown'
    group by client_key
),

-- the months that count: full ones of the window, from the client's first sale on
spans as (
    select
        windows.as_of_month,
        first_sales.client_key,
        greatest(windows.first_full_month, first_sales.first_sale_month) as first_month,
        windows.last_full_month as last_month
    from windows
    inner join first_sales on first_sales.first_sale_month <= windows.last_full_month
),

counted as (
    select
        *,
        {{ months_between('first_month', 'last_month') }} + 1 as month_count
    from spans
),

totals as (
    select
        counted.as_of_month,
        counted.client_key,
        counted.first_month,
        counted.last_month,
        counted.month_count,
        count(*) as sale_month_count,
        cast(sum(sales.revenue) as double) / counted.month_count as mean_revenue
    from counted
    inner join sales
        on sales.client_key = counted.client_key
        and sales.sale_month >= counted.first_month
        and sales.sale_month <= counted.last_month
    where counted.month_count >= 3
    group by
        counted.as_of_month, counted.client_key, counted.first_month, counted.last_month, counted.month_count
),

-- months without sales lie the whole mean away from it
variances as (
    select
        totals.as_of_month,
        totals.client_key,
        totals.mean_revenue,
        (
            sum(power(cast(sales.revenue as double) - totals.mean_revenue, 2))
            + (totals.month_count - totals.sale_month_count) * totals.mean_revenue * totals.mean_revenue
        ) / totals.month_count as variance
    from totals
    inner join sales
        on sales.client_key = totals.client_key
        and sales.sale_month >= totals.first_month
        and sales.sale_month <= totals.last_month
    group by
        totals.as_of_month, totals.client_key, totals.mean_revenue, totals.month_count, totals.sale_month_count
),

variations as (
    select
        as_of_month,
        client_key,
        -- twelve digits: a double told 0.10 as 0.10000000000000003
        round(sqrt(variance) / nullif(mean_revenue, 0), 12) as variation
    from variances
)

select
    as_of_month,
    client_key,
    round(variation, 4) as month_cv,
    case
        when variation <= {{ var('xyz_bounds')[0] }} then 'X'
        when variation <= {{ var('xyz_bounds')[1] }} then 'Y'
        when variation is not null then 'Z'
    end as xyz_class
from variations
