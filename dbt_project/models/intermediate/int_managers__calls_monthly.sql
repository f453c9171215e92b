-- One row per month and manager with a call in it.
with calls as (
    -- a call whose start the portal does not tell belongs to no month
    select * from {{ ref('fct_calls') }} where is_in_scope and started_date is not null
)

select
    {{ month_of('started_date') }} as period_month,
    manager_key,
    count(*) as calls_total,
    sum(case when direction = 'out' then 1 else 0 end) as calls_out,
    sum(case when direction = 'in' then 1 else 0 end) as calls_in,
    sum(case when is_connected then 1 else 0 end) as calls_connected,
    sum(case when is_missed then 1 else 0 end) as calls_missed,
    sum(case when is_short then 1 else 0 end) as calls_short,
    sum(case when is_connected then duration_seconds else 0 end) as talk_seconds
from calls
group by period_month, manager_key
