-- One row per month, department and way of adding up (its own members, or all departments below it too).
{% set by_month = var('department_as_of') == 'event' -%}
with managers as (
    select {{ "period_month as member_month, " if by_month }}manager_key, department_key
    from {{ ref('int_managers__departments_monthly') if by_month else ref('dim_manager') }}
),

members as (
    select *, 'own' as rollup
    from managers

    union all

    select
        {{ "managers.member_month," if by_month }}
        managers.manager_key,
        departments.ancestor_key as department_key,
        'with_children' as rollup
    from managers
    inner join {{ ref('bridge_department') }} as departments on departments.descendant_key = managers.department_key
),

performance as (
    select * from {{ ref('manager_performance') }}
),

-- what the managers' mart rounds or does not show, so that it is rounded here once
deals as (
    select period_month, manager_key, discount_amount, row_amount from {{ ref('int_managers__deals_monthly') }}
),

calls as (
    select period_month, manager_key, talk_seconds from {{ ref('int_managers__calls_monthly') }}
),

requests as (
    select period_month, manager_key, response_seconds_sum from {{ ref('int_managers__requests_monthly') }}
),

cycles as (
    select
        {{ month_of('deals.won_date') }} as period_month,
        members.department_key,
        members.rollup,
        {{ median('deals.cycle_days') }} as cycle_days_median
    from {{ ref('fct_deals') }} as deals
    inner join members
        on
            members.manager_key = deals.manager_key
            {{ "and members.member_month = " ~ month_of('deals.won_date') if by_month }}
    where deals.is_in_scope and deals.outcome = 'won'
    group by period_month, members.department_key, members.rollup
),

responses as (
    select
        {{ month_of('requests.created_date') }} as period_month,
        members.department_key,
        members.rollup,
        {{ median('requests.response_seconds') }} as response_seconds_median
    from {{ ref('fct_requests') }} as requests
    inner join members
        on
            members.manager_key = requests.manager_key
            {{ "and members.member_month = " ~ month_of('requests.created_date') if by_month }}
    where requests.is_in_scope and requests.response_seconds is not null
    group by period_month, members.department_key, members.rollup
),

summed as (
    select
        performance.period_month,
        members.department_key,
        members.rollup,
        count(*) as managers_count,
        {{ sum_count('performance.deals_created') }} as deals_created,
        {{ sum_count('performance.deals_won') }} as deals_won,
        {{ sum_count('performance.deals_lost') }} as deals_lost,
        {{ sum_count('performance.deals_closed') }} as deals_closed,
        {{ sum_count('performance.cohort_won') }} as cohort_won,
        {{ sum_money('performance.revenue') }} as revenue,
        {{ sum_money('performance.lost_amount') }} as lost_amount,
        {{ sum_money('performance.revenue_repeat') }} as revenue_repeat,
        {{ sum_count('performance.deals_won_repeat') }} as deals_won_repeat,
        sum(performance.cycle_days_sum) as cycle_days_sum,
        {{ sum_count('performance.leads_assigned') }} as leads_assigned,
        {{ sum_count('performance.leads_with_won') }} as leads_with_won,
        {{ sum_count('performance.deals_moved_forward') }} as deals_moved_forward,
        {{ sum_count('performance.stages_skipped') }} as stages_skipped,
        {{ sum_count('performance.calls_total') }} as calls_total,
        {{ sum_count('performance.calls_out') }} as calls_out,
        {{ sum_count('performance.calls_in') }} as calls_in,
        {{ sum_count('performance.calls_connected') }} as calls_connected,
        {{ sum_count('performance.calls_missed') }} as calls_missed,
        {{ sum_count('performance.calls_short') }} as calls_short,
        {{ sum_count('performance.tasks_closed') }} as tasks_closed,
        {{ sum_count('performance.tasks_on_time') }} as tasks_on_time,
        {{ sum_count('performance.tasks_with_deadline_closed') }} as tasks_with_deadline_closed,
        {{ sum_count('performance.tasks_overdue') }} as tasks_overdue,
        {{ sum_count('performance.activities_done') }} as activities_done,
        {{ sum_count('performance.meetings_done') }} as meetings_done,
        {{ sum_count('performance.emails_out') }} as emails_out,
        {{ sum_count('performance.open_deals_eop') }} as open_deals_eop,
        {{ sum_money('performance.open_amount_eop') }} as open_amount_eop,
        cast(sum(performance.stale_deals_eop) as bigint) as stale_deals_eop,
        {{ sum_count('performance.open_tasks_eop') }} as open_tasks_eop,
        sum(performance.load_points) as load_points,
        {{ sum_count('performance.requests') }} as requests,
        {{ sum_count('performance.requests_answered') }} as requests_answered,
        cast(sum(performance.plan_revenue) as decimal(18, 2)) as plan_revenue,
        cast(sum(performance.plan_deals_won) as decimal(18, 2)) as plan_deals_won,
        sum(deals.discount_amount) as discount_amount,
        sum(deals.row_amount) as row_amount,
        {{ sum_count('calls.talk_seconds') }} as talk_seconds,
        {{ sum_count('requests.response_seconds_sum') }} as response_seconds_sum
    from performance
    inner join members
        on
            members.manager_key = performance.manager_key
            {{ "and members.member_month = performance.period_month" if by_month }}
    left join deals
        on deals.period_month = performance.period_month and deals.manager_key = performance.manager_key
    left join calls
        on calls.period_month = performance.period_month and calls.manager_key = performance.manager_key
    left join requests
        on requests.period_month = performance.period_month and requests.manager_key = performance.manager_key
    group by performance.period_month, members.department_key, members.rollup
),

-- own rows hold everybody once
company as (
    select period_month, sum(revenue) as revenue from summed where rollup = 'own' group by period_month
)

select
    -- ids
    summed.period_month,
    summed.department_key,
    departments.name as department_name,
    summed.rollup,
    summed.managers_count,

    -- sales
    summed.deals_created,
    summed.deals_won,
    summed.deals_lost,
    summed.deals_closed,
    {{ ratio('summed.deals_won', 'summed.deals_closed') }} as win_rate,
    summed.cohort_won,
    {{ ratio('summed.cohort_won', 'summed.deals_created') }} as cohort_conversion,
    summed.revenue,
    summed.lost_amount,
    cast({{ avg_money('summed.revenue', 'summed.deals_won') }} as decimal(18, 2)) as avg_check,
    {{ ratio('summed.revenue', 'company.revenue') }} as revenue_share,
    summed.revenue_repeat,
    summed.deals_won_repeat,
    {{ ratio('summed.discount_amount', 'summed.discount_amount + summed.row_amount') }} as discount_share,
    summed.cycle_days_sum,
    case
        when summed.deals_won > 0 then round(summed.cycle_days_sum / summed.deals_won, 2)
    end as cycle_days_avg,
    round(cast(cycles.cycle_days_median as double), 2) as cycle_days_median,

    -- leads and moves
    summed.leads_assigned,
    summed.leads_with_won,
    {{ ratio('summed.leads_with_won', 'summed.leads_assigned') }} as lead_to_won,
    summed.deals_moved_forward,
    summed.stages_skipped,

    -- calls
    summed.calls_total,
    summed.calls_out,
    summed.calls_in,
    summed.calls_connected,
    summed.calls_missed,
    summed.calls_short,
    {{ hours('summed.talk_seconds') }} as talk_hours,
    case
        when summed.calls_connected > 0 then round(cast(summed.talk_seconds as double) / summed.calls_connected, 2)
    end as avg_talk_seconds,
    {{ ratio('summed.calls_missed', 'summed.calls_in') }} as missed_rate,
    {{ ratio('summed.calls_short', 'summed.calls_connected') }} as short_call_share,
    case
        when summed.deals_won > 0 then round(cast(summed.calls_total as double) / summed.deals_won, 2)
    end as calls_per_won,

    -- tasks and activities
    summed.tasks_closed,
    summed.tasks_on_time,
    summed.tasks_with_deadline_closed,
    {{ ratio('summed.tasks_on_time', 'summed.tasks_with_deadline_closed') }} as tasks_on_time_rate,
    summed.tasks_overdue,
    summed.activities_done,
    summed.meetings_done,
    summed.emails_out,

    -- load
    summed.open_deals_eop,
    summed.open_amount_eop,
    summed.stale_deals_eop,
    summed.open_tasks_eop,
    summed.load_points,

    -- response
    summed.requests,
    summed.requests_answered,
    round(cast(summed.response_seconds_sum as double) / 60, 2) as first_response_minutes_sum,
    case
        when summed.requests_answered > 0
            then round(cast(summed.response_seconds_sum as double) / 60 / summed.requests_answered, 2)
    end as first_response_minutes_avg,
    round(cast(responses.response_seconds_median as double) / 60, 2) as first_response_minutes_median,

    -- plan
    summed.plan_revenue,
    summed.plan_deals_won,
    {{ ratio('summed.revenue', 'summed.plan_revenue') }} as plan_attainment
from summed
inner join company on company.period_month = summed.period_month
left join {{ ref('dim_department') }} as departments on departments.department_key = summed.department_key
left join cycles
    on cycles.period_month = summed.period_month
    and cycles.department_key = summed.department_key
    and cycles.rollup = summed.rollup
left join responses
    on responses.period_month = summed.period_month
    and responses.department_key = summed.department_key
    and responses.rollup = summed.rollup
