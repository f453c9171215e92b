-- One row per month from the oldest deal, task or process item up to the running one, and the instant at which its state is taken:
-- its end, or as_of. A company may bring deals that are older than the calendar of dim_date.
with first_days as (
    select min(created_date) as first_day from {{ ref('fct_deals') }} where is_in_scope
    union all
    select min(entered_date) as first_day from {{ ref('fct_deal_stage_history') }} where is_in_scope
    union all
    select min(created_date) as first_day from {{ ref('fct_tasks') }} where is_in_scope
    union all
    select min(created_date) as first_day from {{ ref('fct_process_items') }} where is_in_scope
),

days as (
    {{ date_spine('(select min(first_day) from first_days)', as_of_date()) }}
),

months as (
    select distinct {{ month_of('date_day') }} as period_month
    from days

    union

    select {{ month_of(as_of_date()) }} as period_month
)

select
    period_month,
    period_month = {{ month_of(as_of_date()) }} as is_running,
    case
        when period_month = {{ month_of(as_of_date()) }} then {{ as_of() }}
        else {{ local_midnight(shift_date('month', 1, 'period_month')) }}
    end as ends_at
from months
