-- One row per day, manager and kind of work: hours of calls, meetings and tasks, beside those of the working day.
with work as (
    select started_date as date_day, manager_key, 'call' as work_type, duration_seconds as seconds
    from {{ ref('fct_calls') }}
    where is_in_scope and is_connected

    union all

    select started_date, manager_key, 'meeting', seconds from {{ ref('int_meetings') }}

    union all

    select started_date, manager_key, 'task', seconds from {{ ref('fct_time_entries') }} where is_in_scope

    union all

    select {{ local_date('started_at') }}, coalesce(manager_id, 0), 'workday', coalesce(duration_seconds, 0)
    from {{ ref('stg_bitrix24__work_time_records') }}
    where not is_deleted and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }}
),

counted as (
    select
        date_day,
        manager_key,
        work_type,
        {{ sum_count('seconds') }} as seconds,
        count(*) as events
    from work
    -- a meeting of tomorrow is no time spent
    where date_day <= {{ as_of_date() }}
    group by date_day, manager_key, work_type
)

select
    counted.date_day,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.work_type,
    counted.seconds,
    {{ hours('counted.seconds') }} as hours,
    counted.events,
    case when counted.work_type <> 'workday' then {{ ratio('counted.seconds', 'workdays.seconds') }} end
        as workday_share

from counted
left join counted as workdays
    on
        workdays.date_day = counted.date_day
        and workdays.manager_key = counted.manager_key
        and workdays.work_type = 'workday'
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
