-- One row per month and manager with anything to report in it, or with a plan for it.
with deals as (
    select * from {{ ref('int_managers__deals_monthly') }}
),

moves as (
    select * from {{ ref('int_managers__moves_monthly') }}
),

requests as (
    select * from {{ ref('int_managers__requests_monthly') }}
),

calls as (
    select * from {{ ref('int_managers__calls_monthly') }}
),

tasks as (
    select * from {{ ref('int_managers__tasks_monthly') }}
),

activities as (
    select * from {{ ref('int_managers__activities_monthly') }}
),

workload as (
    select * from {{ ref('int_managers__workload_monthly') }}
),

plans as (
    select
        period_month,
        manager_key,
        max(case when metric = 'revenue' then plan_value end) as plan_revenue,
        max(case when metric = 'deals_won' then plan_value end) as plan_deals_won
    from {{ ref('fct_sales_plan') }}
    where scope = 'manager' and manager_key is not null
    group by period_month, manager_key
),

managers as (
    {% if var('department_as_of') == 'event' -%}
    select
        months.period_month,
        managers.manager_key,
        managers.full_name,
        managers.is_active,
        months.department_key,
        departments.name as department_name
    from {{ ref('int_managers__departments_monthly') }} as months
    inner join {{ ref('dim_manager') }} as managers on managers.manager_key = months.manager_key
    inner join {{ ref('dim_department') }} as departments on departments.department_key = months.department_key
    {%- else -%}
    select * from {{ ref('dim_manager') }}
    {%- endif %}
),

reported as (
    select period_month, manager_key from deals
    union
    select period_month, manager_key from moves
    union
    select period_month, manager_key from requests
    union
    select period_month, manager_key from calls
    union
    select period_month, manager_key from tasks
    union
    select period_month, manager_key from activities
    union
    select period_month, manager_key from workload
    union
    select period_month, manager_key from plans
),

counted as (
    select
        reported.period_month,
        reported.manager_key,
        managers.full_name as manager_name,
        managers.department_key,
        managers.department_name,
        managers.is_active,

        coalesce(deals.deals_created, 0) as deals_created,
        coalesce(deals.deals_won, 0) as deals_won,
        coalesce(deals.deals_lost, 0) as deals_lost,
        coalesce(deals.deals_won, 0) + coalesce(deals.deals_lost, 0) as deals_closed,
        coalesce(deals.cohort_won, 0) as cohort_won,
        coalesce(deals.revenue, 0) as revenue,
        coalesce(deals.lost_amount, 0) as lost_amount,
        coalesce(deals.revenue_repeat, 0) as revenue_repeat,
        coalesce(deals.deals_won_repeat, 0) as deals_won_repeat,
        coalesce(deals.discount_amount, 0) as discount_amount,
        coalesce(deals.row_amount, 0) as row_amount,
        coalesce(deals.cycle_days_sum, 0) as cycle_days_sum,
        deals.cycle_days_median,

        coalesce(requests.leads_assigned, 0) as leads_assigned,
        coalesce(requests.leads_with_won, 0) as leads_with_won,
        coalesce(moves.deals_moved_forward, 0) as deals_moved_forward,
        coalesce(moves.stages_skipped, 0) as stages_skipped,

        coalesce(calls.calls_total, 0) as calls_total,
        coalesce(calls.calls_out, 0) as calls_out,
        coalesce(calls.calls_in, 0) as calls_in,
        coalesce(calls.calls_connected, 0) as calls_connected,
        coalesce(calls.calls_missed, 0) as calls_missed,
        coalesce(calls.calls_short, 0) as calls_short,
        coalesce(calls.talk_seconds, 0) as talk_seconds,

        coalesce(tasks.tasks_closed, 0) as tasks_closed,
        coalesce(tasks.tasks_on_time, 0) as tasks_on_time,
        coalesce(tasks.tasks_with_deadline_closed, 0) as tasks_with_deadline_closed,
        coalesce(tasks.tasks_overdue, 0) as tasks_overdue,

        coalesce(activities.activities_done, 0) as activities_done,
        coalesce(activities.meetings_done, 0) as meetings_done,
        coalesce(activities.emails_out, 0) as emails_out,

        coalesce(workload.open_deals_eop, 0) as open_deals_eop,
        coalesce(workload.open_amount_eop, 0) as open_amount_eop,
        case
            when reported.period_month = {{ month_of(as_of_date()) }} then coalesce(workload.stale_deals_eop, 0)
        end as stale_deals_eop,
        coalesce(workload.open_tasks_eop, 0) as open_tasks_eop,
        cast(
            coalesce(workload.open_deals_eop, 0)
            + {{ var('load_task_weight') }} * coalesce(workload.open_tasks_eop, 0) as double
        ) as load_points,

        coalesce(requests.requests, 0) as requests,
        coalesce(requests.requests_answered, 0) as requests_answered,
        coalesce(requests.response_seconds_sum, 0) as response_seconds_sum,
        requests.response_seconds_median,

        plans.plan_revenue,
        plans.plan_deals_won
    from reported
    inner join managers
        on
            managers.manager_key = reported.manager_key
            {{ "and managers.period_month = reported.period_month" if var('department_as_of') == 'event' }}
    left join deals on deals.period_month = reported.period_month and deals.manager_key = reported.manager_key
    left join moves on moves.period_month = reported.period_month and moves.manager_key = reported.manager_key
    left join requests
        on requests.period_month = reported.period_month and requests.manager_key = reported.manager_key
    left join calls on calls.period_month = reported.period_month and calls.manager_key = reported.manager_key
    left join tasks on tasks.period_month = reported.period_month and tasks.manager_key = reported.manager_key
    left join activities
        on activities.period_month = reported.period_month and activities.manager_key = reported.manager_key
    left join workload
        on workload.period_month = reported.period_month and workload.manager_key = reported.manager_key
    left join plans on plans.period_month = reported.period_month and plans.manager_key = reported.manager_key
    where reported.period_month <= {{ month_of(as_of_date()) }}
),

compared as (
    select
        *,
        sum(revenue) over (partition by period_month) as company_revenue,
        sum(revenue) over (partition by period_month, department_key) as department_revenue,
        sum(deals_won) over (partition by period_month, department_key) as department_deals_won,
        -- dismissed and idle colleagues would make everybody else look overloaded
        avg(case when is_active and load_points > 0 then load_points end) over (
            partition by period_month, department_key
        ) as department_load_points,
        rank() over (
            partition by period_month, case when deals_won > 0 then 1 else 0 end
            order by revenue desc, deals_won desc
        ) as place_by_revenue,
        rank() over (
            partition by period_month, case when deals_won > 0 then 1 else 0 end
            order by deals_won desc, revenue desc
        ) as place_by_deals_won
    from counted
),

averaged as (
    select
        *,
        {{ avg_money('revenue', 'deals_won') }} as avg_check,
        {{ avg_money('department_revenue', 'department_deals_won') }} as department_avg_check,
        {{ ratio('load_points', 'department_load_points') }} as load_index
    from compared
)

select
    -- ids
    period_month,
    manager_key,

    -- dimensions
    manager_name,
    department_key,
    department_name,

    -- sales
    cast(deals_created as bigint) as deals_created,
    cast(deals_won as bigint) as deals_won,
    cast(deals_lost as bigint) as deals_lost,
    cast(deals_closed as bigint) as deals_closed,
    {{ ratio('deals_won', 'deals_closed') }} as win_rate,
    cast(cohort_won as bigint) as cohort_won,
    {{ ratio('cohort_won', 'deals_created') }} as cohort_conversion,
    cast(revenue as decimal(18, 2)) as revenue,
    cast(lost_amount as decimal(18, 2)) as lost_amount,
    cast(avg_check as decimal(18, 2)) as avg_check,
    round({{ ratio('avg_check', 'department_avg_check') }} - 1, 4) as avg_check_vs_department,
    {{ ratio('revenue', 'company_revenue') }} as revenue_share,
    cast(revenue_repeat as decimal(18, 2)) as revenue_repeat,
    cast(deals_won_repeat as bigint) as deals_won_repeat,
    {{ ratio('discount_amount', 'discount_amount + row_amount') }} as discount_share,
    cast(cycle_days_sum as double) as cycle_days_sum,
    case when deals_won > 0 then round(cast(cycle_days_sum as double) / deals_won, 2) end as cycle_days_avg,
    round(cast(cycle_days_median as double), 2) as cycle_days_median,

    -- leads and moves
    cast(leads_assigned as bigint) as leads_assigned,
    cast(leads_with_won as bigint) as leads_with_won,
    {{ ratio('leads_with_won', 'leads_assigned') }} as lead_to_won,
    cast(deals_moved_forward as bigint) as deals_moved_forward,
    cast(stages_skipped as bigint) as stages_skipped,

    -- calls
    cast(calls_total as bigint) as calls_total,
    cast(calls_out as bigint) as calls_out,
    cast(calls_in as bigint) as calls_in,
    cast(calls_connected as bigint) as calls_connected,
    cast(calls_missed as bigint) as calls_missed,
    cast(calls_short as bigint) as calls_short,
    round(cast(talk_seconds as double) / 3600, 2) as talk_hours,
    case when calls_connected > 0 then round(cast(talk_seconds as double) / calls_connected, 2) end as avg_talk_seconds,
    {{ ratio('calls_missed', 'calls_in') }} as missed_rate,
    {{ ratio('calls_short', 'calls_connected') }} as short_call_share,
    case when deals_won > 0 then round(cast(calls_total as double) / deals_won, 2) end as calls_per_won,

    -- tasks and activities
    cast(tasks_closed as bigint) as tasks_closed,
    cast(tasks_on_time as bigint) as tasks_on_time,
    cast(tasks_with_deadline_closed as bigint) as tasks_with_deadline_closed,
    {{ ratio('tasks_on_time', 'tasks_with_deadline_closed') }} as tasks_on_time_rate,
    cast(tasks_overdue as bigint) as tasks_overdue,
    cast(activities_done as bigint) as activities_done,
    cast(meetings_done as bigint) as meetings_done,
    cast(emails_out as bigint) as emails_out,

    -- load
    cast(open_deals_eop as bigint) as open_deals_eop,
    cast(open_amount_eop as decimal(18, 2)) as open_amount_eop,
    cast(stale_deals_eop as bigint) as stale_deals_eop,
    cast(open_tasks_eop as bigint) as open_tasks_eop,
    load_points,
    load_index,
    case
        when load_index >= {{ var('load_bounds')[1] }} then 'overloaded'
        when load_index <= {{ var('load_bounds')[0] }} then 'underloaded'
        when load_index is not null then 'normal'
    end as load_status,

    -- response
    cast(requests as bigint) as requests,
    cast(requests_answered as bigint) as requests_answered,
    round(cast(response_seconds_sum as double) / 60, 2) as first_response_minutes_sum,
    case
        when requests_answered > 0 then round(cast(response_seconds_sum as double) / 60 / requests_answered, 2)
    end as first_response_minutes_avg,
    round(cast(response_seconds_median as double) / 60, 2) as first_response_minutes_median,

    -- plan
    plan_revenue,
    plan_deals_won,
    {{ ratio('revenue', 'plan_revenue') }} as plan_attainment,

    -- ranks
    case when deals_won > 0 then place_by_revenue end as rank_revenue,
    case when deals_won > 0 then place_by_deals_won end as rank_deals_won
from averaged
