-- One row per calculation month and client with a won deal, or money paid for one, in the 12 months that end with it.
{{ only_supported('abc_basis', ['revenue', 'gross_profit']) }}
{{ only_supported('abc_method', ['cumulative', 'by_count']) }}
with windows as (
    select * from {{ ref('int_abc_windows') }}
),

events as (
    select client_key, won_date as event_date, won_date, 0 as revenue, gross_profit_rc
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won' and client_key <> 'unknown'

    union all

    select client_key, revenue_date as event_date, null as won_date, revenue_rc as revenue, null as gross_profit_rc
    from {{ revenue_rows() }} as received
    where client_key <> 'unknown'
),

regularity as (
    select * from {{ ref('int_clients__regularity') }}
),

sales as (
    select
        windows.as_of_month,
        windows.window_start,
        windows.window_end,
        events.client_key,
        count(events.won_date) as deals_won,
        -- of a client who only paid in the window, the last payment
        coalesce(max(events.won_date), max(events.event_date)) as last_won_date,
        sum(events.revenue) as revenue,
        case
            when count(events.won_date) = count(events.gross_profit_rc) then coalesce(sum(events.gross_profit_rc), 0)
        end as gross_profit
    from windows
    inner join events
        on events.event_date >= windows.window_start
        and events.event_date <= windows.window_end
    group by windows.as_of_month, windows.window_start, windows.window_end, events.client_key
),

service as (
    select
        sales.as_of_month,
        sales.client_key,
        sum(days.touches_count) as touches_count,
        sum(days.service_seconds) as service_seconds
    from sales
    inner join {{ ref('int_clients__service_daily') }} as days
        on days.client_key = sales.client_key
        and days.service_date >= sales.window_start
        and days.service_date <= sales.window_end
    group by sales.as_of_month, sales.client_key
),

valued as (
    select
        *,
        {% if var('abc_basis') == 'revenue' -%}
        revenue as basis_value
        {%- else -%}
        -- a client whose profit is unknown would silently become the smallest
        case
            when gross_profit is null then {{ fail("abc_basis is gross_profit, but a won deal has no margin") }}
            else gross_profit
        end as basis_value
        {%- endif %}
    from sales
),

-- only positive values take part in the curve
positive as (
    select
        as_of_month,
        client_key,
        basis_value,
        sum(basis_value) over (partition by as_of_month) as total_value,
        count(*) over (partition by as_of_month) as client_count,
        rank() over (partition by as_of_month order by basis_value desc) as client_rank,
        -- a running sum over values takes all clients of one value together; without them, the strictly greater stay
        sum(basis_value) over (partition by as_of_month order by basis_value desc)
        - sum(basis_value) over (partition by as_of_month, basis_value) as greater_sum,
        sum(basis_value) over (
            partition by as_of_month order by basis_value desc, client_key
            rows between unbounded preceding and current row
        ) as cum_value,
        row_number() over (partition by as_of_month order by basis_value desc, client_key) as client_number
    from valued
    where basis_value > 0
),

classed as (
    select
        *,
        {{ abc_class_cumulative('greater_sum', 'total_value') }} as abc_class_cumulative,
        {{ abc_class_by_count('client_number', 'client_count') }} as abc_class_by_count
    from positive
),

scored as (
    select
        as_of_month,
        client_key,
        {{ days_between('last_won_date', 'window_end') }} as recency_days,
        -- the longer ago, the lower the score
        percent_rank() over (
            partition by as_of_month order by {{ days_between('last_won_date', 'window_end') }} desc
        ) as recency_place,
        percent_rank() over (partition by as_of_month order by deals_won) as frequency_place,
        percent_rank() over (partition by as_of_month order by revenue) as monetary_place
    from sales
),

scores as (
    select
        as_of_month,
        client_key,
        recency_days,
        cast(least(5, 1 + floor(5 * recency_place)) as bigint) as r_score,
        cast(least(5, 1 + floor(5 * frequency_place)) as bigint) as f_score,
        cast(least(5, 1 + floor(5 * monetary_place)) as bigint) as m_score
    from scored
),

joined as (
    select
        valued.as_of_month,
        valued.client_key,
        valued.revenue,
        valued.gross_profit,
        valued.deals_won,
        valued.basis_value,
        classed.greater_sum,
        {% if var('abc_method') == 'cumulative' -%}
        coalesce(classed.abc_class_cumulative, 'N') as abc_class,
        {%- else -%}
        coalesce(classed.abc_class_by_count, 'N') as abc_class,
        {%- endif %}
        classed.client_rank,
        classed.cum_value,
        {{ ratio('classed.cum_value', 'classed.total_value') }} as cum_share,
        {{ ratio('classed.client_number', 'classed.client_count') }} as cum_client_share,
        classed.abc_class_by_count,
        regularity.month_cv,
        regularity.xyz_class,
        scores.recency_days,
        scores.r_score,
        scores.f_score,
        scores.m_score,
        coalesce(service.touches_count, 0) as touches_count,
        coalesce(service.service_seconds, 0) as service_seconds
    from valued
    inner join scores on scores.as_of_month = valued.as_of_month and scores.client_key = valued.client_key
    left join classed on classed.as_of_month = valued.as_of_month and classed.client_key = valued.client_key
    left join regularity
        on regularity.as_of_month = valued.as_of_month and regularity.client_key = valued.client_key
    left join service on service.as_of_month = valued.as_of_month and service.client_key = valued.client_key
)

select
    -- ids
    joined.as_of_month,
    joined.client_key,

    -- dimensions
    clients.name as client_name,
    clients.client_type,

    -- value and class
    cast(joined.revenue as decimal(18, 2)) as revenue,
    cast(joined.gross_profit as decimal(18, 2)) as gross_profit,
    cast(joined.deals_won as bigint) as deals_won,
    cast(joined.basis_value as decimal(18, 2)) as basis_value,
    cast(joined.greater_sum as decimal(18, 2)) as greater_sum,
    joined.abc_class,
    joined.client_rank,
    cast(joined.cum_value as decimal(18, 2)) as cum_value,
    joined.cum_share,
    joined.cum_client_share,
    joined.abc_class_by_count,

    -- evenness
    joined.month_cv,
    joined.xyz_class,

    -- recency, frequency, money
    joined.recency_days,
    cast(joined.deals_won as bigint) as frequency,
    cast(joined.revenue as decimal(18, 2)) as monetary,
    joined.r_score,
    joined.f_score,
    joined.m_score,
    cast(joined.r_score as varchar) || cast(joined.f_score as varchar) || cast(joined.m_score as varchar) as rfm,

    -- service
    cast(joined.touches_count as bigint) as touches_count,
    round(cast(joined.service_seconds as double) / 3600, 2) as service_hours,

    -- a year ago
    year_ago.abc_class as prev_abc_class
from joined
inner join {{ ref('dim_client') }} as clients on clients.client_key = joined.client_key
left join joined as year_ago
    on year_ago.client_key = joined.client_key
    and year_ago.as_of_month = {{ shift_date('month', -12, 'joined.as_of_month') }}
