-- One row per line of sales_plan.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'sales_plan') }}
)

select
    {{ to_int('row_number') }} as line_number,
    {{ to_calendar_date('period_month') }} as period_month,
    {{ to_tag('scope') }} as scope,
    {{ to_text('scope_key') }} as scope_key,
    {{ to_tag('metric') }} as metric,
    {{ to_money('plan_value') }} as plan_value,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
