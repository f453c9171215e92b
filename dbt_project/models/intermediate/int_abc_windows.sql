-- One row per calculation month of the ABC analysis: the days whose sales it looks at.
with months as (
    select distinct month_start as as_of_month
    from {{ ref('dim_date') }}
    where
        date_day <= {{ as_of_date() }}
        and month_start > {{ shift_date('month', -var('abc_months_back'), month_of(as_of_date())) }}
),

ends as (
    select
        as_of_month,
        -- the running month ends today
        least({{ shift_date('day', -1, shift_date('month', 1, 'as_of_month')) }}, {{ as_of_date() }}) as window_end
    from months
),

windows as (
    select
        as_of_month,
        {{ shift_date('month', -var('abc_window_months'), shift_date('day', 1, 'window_end')) }} as window_start,
        window_end
    from ends
)

select
    as_of_month,
    window_start,
    window_end,
    -- full calendar months inside the window
    case
        when window_start = {{ month_of('window_start') }} then window_start
        else {{ shift_date('month', 1, month_of('window_start')) }}
    end as first_full_month,
    {{ shift_date('month', -1, month_of(shift_date('day', 1, 'window_end'))) }} as last_full_month
from windows
