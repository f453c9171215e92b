-- One row per month, manager, pipeline and kind of sale with a deal won or lost in it, and one row per month for the
-- share of all clients who ever bought twice.
with closed_deals as (
    select *, {{ month_of('closed_date') }} as period_month
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome <> 'open'
),

events as (
    select period_month, manager_key, pipeline_key, is_repeat_sale, client_key, outcome, amount_rc, 0 as revenue_rc
    from closed_deals

    union all

    select
        {{ month_of('revenue_date') }} as period_month, manager_key, pipeline_key, is_repeat_sale, client_key,
        'paid' as outcome, 0 as amount_rc, revenue_rc
    from {{ revenue_rows() }} as received
),

sales as (
    select
        period_month,
        manager_key,
        pipeline_key,
        is_repeat_sale,
        {{ count_if("outcome = 'won'") }} as deals_won,
        {{ sum_money('revenue_rc') }} as revenue,
        {{ count_if("outcome = 'lost'") }} as deals_lost,
        {{ sum_money("case when outcome = 'lost' then amount_rc end") }} as lost_amount,
        count(distinct case when outcome = 'won' and client_key <> 'unknown' then client_key end) as clients
    from events
    where period_month <= {{ month_of(as_of_date()) }}
    group by period_month, manager_key, pipeline_key, is_repeat_sale
),

days as (
    {{ date_spine("(select min(closed_date) from closed_deals where outcome = 'won')", as_of_date()) }}
),

months as (
    select distinct {{ month_of('date_day') }} as period_month from days
),

-- each client comes in with his first sale and becomes a repeat one with his second
newcomers as (
    select
        period_month,
        {{ count_if('client_won_number = 1') }} as clients,
        {{ count_if('client_won_number = 2') }} as repeat_clients
    from closed_deals
    group by period_month
),

clients_ever as (
    select
        months.period_month,
        cast(sum(coalesce(newcomers.clients, 0)) over by_month as bigint) as clients,
        cast(sum(coalesce(newcomers.repeat_clients, 0)) over by_month as bigint) as repeat_clients
    from months
    left join newcomers on newcomers.period_month = months.period_month
    window by_month as (order by months.period_month rows between unbounded preceding and current row)
),

combined as (
    select *, cast(null as double) as repeat_clients_share from sales

    union all

    select
        period_month,
        0 as manager_key,
        -1 as pipeline_key,
        false as is_repeat_sale,
        0 as deals_won,
        0 as revenue,
        0 as deals_lost,
        0 as lost_amount,
        clients,
        {{ ratio('repeat_clients', 'clients') }} as repeat_clients_share
    from clients_ever
)

select
    combined.period_month,
    combined.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    combined.pipeline_key,
    case when combined.pipeline_key = -1 then 'Все воронки' else pipelines.name end as pipeline_name,
    combined.is_repeat_sale,
    combined.deals_won,
    combined.revenue,
    combined.deals_lost,
    combined.lost_amount,
    combined.clients,
    combined.repeat_clients_share
from combined
left join {{ ref('dim_manager') }} as managers on managers.manager_key = combined.manager_key
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = combined.pipeline_key
