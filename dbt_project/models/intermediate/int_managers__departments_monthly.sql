-- One row per month and manager: his main department at the month's end (department_as_of=event); before the first
-- snapshot that of the earliest one.
with months as (
    select distinct month_start as period_month from {{ ref('dim_date') }}
),

managers as (
    select manager_key, department_key from {{ ref('dim_manager') }}
),

versions as (
    select
        months.period_month,
        snapshots.user_id as manager_key,
        coalesce(snapshots.department_id, 0) as department_key,
        row_number() over (
            partition by months.period_month, snapshots.user_id
            order by
                case when snapshots.valid_from < {{ local_midnight(shift_date('month', 1, 'months.period_month')) }} then 0 else 1 end,
                case
                    when snapshots.valid_from < {{ local_midnight(shift_date('month', 1, 'months.period_month')) }}
                        then snapshots.valid_from
                end desc,
                snapshots.valid_from
        ) as place
    from months
    cross join {{ ref('snap_users') }} as snapshots
)

select
    months.period_month,
    managers.manager_key,
    -- whom no snapshot holds is where the directory has him; a department that nobody remembers is none
    coalesce(departments.department_key, 0) as department_key
from months
cross join managers
left join versions
    on
        versions.period_month = months.period_month
        and versions.manager_key = managers.manager_key
        and versions.place = 1
left join {{ ref('dim_department') }} as departments
    on departments.department_key = coalesce(versions.department_key, managers.department_key)
