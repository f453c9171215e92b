-- One row per counted task and thing that happened to it: created, closed as done, deadline missed.
{{ config(materialized='table') }}

with tasks as (
    select * from {{ ref('fct_tasks') }} where is_in_scope
),

events as (
    select 'created' as event, created_date as event_date, * from tasks
    union all
    select 'closed' as event, closed_date as event_date, * from tasks where is_done
    union all
    select 'overdue' as event, {{ local_date('deadline_at') }} as event_date, * from tasks where is_overdue
)

select
    task_id,
    manager_key,
    project_key,
    event,
    {{ month_of('event_date') }} as period_month,
    mark,
    estimate_seconds,
    spent_seconds,
    returns_count,
    case when event = 'closed' then {{ seconds_between('created_at', 'closed_at') }} end as close_seconds,
    is_on_time,
    deadline_at is not null as has_deadline,
    closed_at is null as is_open

from events
where event_date is not null
