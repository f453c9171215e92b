-- One row per month up to the running one, and the instant at which its state is taken: its end, or as_of.
with months as (
    select distinct month_start as period_month
    from {{ ref('dim_date') }}
    where date_day <= {{ as_of_date() }}
)

select
    period_month,
    period_month = {{ month_of(as_of_date()) }} as is_running,
    case
        when period_month = {{ month_of(as_of_date()) }} then {{ as_of() }}
        else {{ local_midnight(shift_date('month', 1, 'period_month')) }}
    end as ends_at
from months
