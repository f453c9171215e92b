-- One row per month and manager with an activity completed in it.
with activities as (
    select * from {{ ref('fct_activities') }}
    where is_in_scope and completed_date is not null
)

select
    {{ month_of('completed_date') }} as period_month,
    manager_key,
    count(*) as activities_done,
    sum(case when activity_type = 'meeting' then 1 else 0 end) as meetings_done,
    sum(case when activity_type = 'email' and direction = 'out' then 1 else 0 end) as emails_out
from activities
group by period_month, manager_key
