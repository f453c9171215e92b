-- One row per day, hour, manager, direction and line with a call in it.
with calls as (
    -- a call whose start the portal does not tell belongs to no day
    select
        *,
        -- the next conversation with the number, whoever called
        case when phone_hash is not null then min(case when is_connected then started_at end) over number_backwards end
            as next_conversation_at
    from {{ ref('fct_calls') }}
    where is_in_scope and started_at is not null
    window number_backwards as (partition by phone_hash order by started_at desc)
),

counted as (
    select
        started_date as date_day,
        cast(extract(hour from {{ local_time('started_at') }}) as bigint) as hour,
        manager_key,
        direction,
        coalesce(portal_number, '') as portal_number,
        count(*) as calls,
        {{ count_if('is_connected') }} as calls_connected,
        {{ count_if('is_missed') }} as calls_missed,
        {{ count_if('is_short') }} as calls_short,
        {{ sum_count('case when is_connected then duration_seconds end') }} as talk_seconds,
        {{ sum_money('cost_rc') }} as cost,
        count(distinct phone_hash) as unique_numbers,
        {{ count_if(
            'is_missed and coalesce(next_conversation_at > ' ~ shift_hours('started_at', 24) ~ ', true)'
        ) }} as missed_unreturned

    from calls
    where {{ month_of('started_date') }} <= {{ month_of(as_of_date()) }}
    group by 1, 2, 3, 4, 5
)

select
    counted.date_day,
    days.weekday_num,
    days.weekday_ru,
    counted.hour,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.direction,
    counted.portal_number,
    counted.calls,
    counted.calls_connected,
    counted.calls_missed,
    counted.calls_short,
    counted.talk_seconds,
    counted.cost,
    counted.unique_numbers,
    counted.missed_unreturned

from counted
left join {{ ref('dim_date') }} as days on days.date_day = counted.date_day
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
