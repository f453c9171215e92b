-- C18: the calls of call_analytics are those of manager_performance, and the counted facts, to the last one.
with analytics as (
    select
        coalesce(sum(calls), 0) as calls,
        coalesce(sum(calls_connected), 0) as calls_connected,
        coalesce(sum(calls_missed), 0) as calls_missed,
        coalesce(sum(calls_short), 0) as calls_short,
        coalesce(sum(talk_seconds), 0) as talk_seconds
    from {{ ref('call_analytics') }}
),

managers as (
    select
        coalesce(sum(calls_total), 0) as calls,
        coalesce(sum(calls_connected), 0) as calls_connected,
        coalesce(sum(calls_missed), 0) as calls_missed,
        coalesce(sum(calls_short), 0) as calls_short
    from {{ ref('manager_performance') }}
),

facts as (
    select
        count(*) as calls,
        coalesce(sum(case when is_connected then duration_seconds end), 0) as talk_seconds
    from {{ ref('fct_calls') }}
    where is_in_scope and {{ month_of('started_date') }} <= {{ month_of(as_of_date()) }}
)

select *
from analytics
cross join managers
cross join facts
where
    analytics.calls <> managers.calls
    or analytics.calls <> facts.calls
    or analytics.calls_connected <> managers.calls_connected
    or analytics.calls_missed <> managers.calls_missed
    or analytics.calls_short <> managers.calls_short
    or analytics.talk_seconds <> facts.talk_seconds
