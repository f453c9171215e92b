-- One row per month and manager with open deals or open tasks at its end.
with months as (
    select * from {{ ref('int_reporting_months') }}
),

deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

idle as (
    select deal_id, is_stale from {{ ref('int_deals__idle') }}
),

-- when a deal was in work; one without history from its creation to its closing
stays as (
    select deal_id, entered_at, left_at
    from {{ ref('fct_deal_stage_history') }}
    where is_in_scope and semantics = 'P'

    union all

    select deal_id, created_at as entered_at, closed_at as left_at
    from deals
    where not has_history
),

open_deals as (
    select
        months.period_month,
        deals.manager_key,
        count(*) as open_deals_eop,
        sum(coalesce(deals.amount_rc, 0)) as open_amount_eop,
        case
            when months.is_running
                then sum(case when idle.is_stale then 1 else 0 end)
        end as stale_deals_eop
    from months
    inner join stays
        on stays.entered_at < months.ends_at
        and (stays.left_at >= months.ends_at or stays.left_at is null)
    inner join deals on deals.deal_id = stays.deal_id
    left join idle on idle.deal_id = stays.deal_id
    group by months.period_month, months.is_running, deals.manager_key
),

open_tasks as (
    select
        months.period_month,
        tasks.manager_key,
        count(*) as open_tasks_eop
    from months
    inner join {{ ref('fct_tasks') }} as tasks
        on tasks.created_at < months.ends_at
        and (tasks.closed_at >= months.ends_at or tasks.closed_at is null)
    where tasks.is_in_scope and coalesce(tasks.status, 0) <> 6
    group by months.period_month, tasks.manager_key
)

select
    coalesce(open_deals.period_month, open_tasks.period_month) as period_month,
    coalesce(open_deals.manager_key, open_tasks.manager_key) as manager_key,
    coalesce(open_deals.open_deals_eop, 0) as open_deals_eop,
    coalesce(open_deals.open_amount_eop, 0) as open_amount_eop,
    open_deals.stale_deals_eop,
    coalesce(open_tasks.open_tasks_eop, 0) as open_tasks_eop
from open_deals
full outer join open_tasks
    on open_tasks.period_month = open_deals.period_month and open_tasks.manager_key = open_deals.manager_key
