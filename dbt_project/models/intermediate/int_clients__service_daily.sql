-- One row per client and day with a contact or work for the client: how many touches, how much time.
with calls as (
    select * from {{ ref('fct_calls') }} where is_in_scope
),

activities as (
    select * from {{ ref('fct_activities') }} where is_in_scope and completed_date is not null
),

-- the card of a call is the same touch as the call
call_cards as (
    select distinct activity_id from calls where activity_id is not null
),

work as (
    select
        deals.client_key,
        entries.started_date,
        entries.seconds
    from {{ ref('fct_time_entries') }} as entries
    inner join {{ ref('fct_tasks') }} as tasks on tasks.task_id = entries.task_id
    inner join {{ ref('fct_deals') }} as deals on deals.deal_id = tasks.deal_id
    where entries.is_in_scope and tasks.is_in_scope and deals.is_in_scope
),

events as (
    select
        client_key,
        started_date as service_date,
        1 as is_touch,
        case when is_connected then duration_seconds else 0 end as service_seconds
    from calls

    union all

    select
        activities.client_key,
        activities.completed_date as service_date,
        1 as is_touch,
        0 as service_seconds
    from activities
    left join call_cards on call_cards.activity_id = activities.activity_id
    where call_cards.activity_id is null

    union all

    select client_key, started_date as service_date, 0 as is_touch, seconds as service_seconds
    from work
)

select
    client_key,
    service_date,
    sum(is_touch) as touches_count,
    sum(service_seconds) as service_seconds
from events
where client_key <> 'unknown' and service_date is not null
group by client_key, service_date
