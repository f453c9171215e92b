-- One row per user that the portal lists or any fact names; 0 stands for "nobody".
{{ only_supported('department_as_of', ['current', 'event']) }}
with users as (
    select * from {{ ref('stg_bitrix24__users') }}
),

named as (
    select manager_key as user_id from {{ ref('int_deals__scoped') }}
    union
    select created_by_key from {{ ref('int_deals__scoped') }}
    union
    select manager_id from {{ ref('stg_bitrix24__leads') }}
    union
    select manager_id from {{ ref('stg_bitrix24__contacts') }}
    union
    select manager_id from {{ ref('stg_bitrix24__companies') }}
    union
    select manager_id from {{ ref('stg_bitrix24__activities') }}
    union
    select author_id from {{ ref('stg_bitrix24__activities') }}
    union
    select manager_id from {{ ref('stg_bitrix24__calls') }}
    union
    select manager_id from {{ ref('stg_bitrix24__tasks') }}
    union
    select creator_id from {{ ref('stg_bitrix24__tasks') }}
    union
    select manager_id from {{ ref('stg_bitrix24__time_entries') }}
    union
    select owner_id from {{ ref('stg_bitrix24__workgroups') }}
    union
    select manager_key from {{ ref('int_items') }}
    union
    select manager_id from {{ ref('stg_bitrix24__payments') }}
    union
    select owner_id from {{ ref('stg_bitrix24__calendar_events') }} where calendar_type = 'user'
    union
    select manager_id from {{ ref('stg_bitrix24__work_time_records') }}
    union
    select head_id from {{ ref('stg_bitrix24__departments') }}
    union
    select {{ to_id('scope_key') }} from {{ ref('stg_files__sales_plan') }} where scope = 'manager'
    union
    select manager_key from {{ ref('stg_files__survey_answers') }}
),

members as (
    select
        coalesce(users.user_id, named.user_id) as user_id,
        trim(coalesce(users.last_name, '') || ' ' || coalesce(users.first_name, '')) as person_name,
        users.email,
        users.position,
        users.user_type,
        coalesce(users.is_active and users.is_listed, false) as is_active,
        users.employment_date,
        coalesce(memberships.department_id, 0) as department_key

    from users
    full outer join named on named.user_id = users.user_id
    left join {{ ref('int_users__departments') }} as memberships
        on memberships.user_id = users.user_id and memberships.is_main
    where coalesce(users.user_id, named.user_id) > 0

    union all

    select 0, 'Не назначен', null, null, null, false, null, 0
),

-- whoever heads his own department answers to the nearest head above it
heads as (
    select
        members.user_id,
        departments.head_key,
        row_number() over (partition by members.user_id order by ancestors.distance) as place

    from members
    inner join {{ ref('bridge_department') }} as ancestors on ancestors.descendant_key = members.department_key
    inner join {{ ref('dim_department') }} as departments on departments.department_key = ancestors.ancestor_key
    inner join {{ ref('dim_department') }} as own on own.department_key = members.department_key
    where
        departments.head_key <> members.user_id
        and (ancestors.distance = 0 or (own.head_key = members.user_id and departments.head_key <> 0))
),

levels as (
    select
        ancestors.descendant_key as department_key,
        max(case when departments.level = 1 then departments.name end) as dept_level_1,
        max(case when departments.level = 2 then departments.name end) as dept_level_2,
        max(case when departments.level = 3 then departments.name end) as dept_level_3,
        max(case when departments.level = 4 then departments.name end) as dept_level_4

    from {{ ref('bridge_department') }} as ancestors
    inner join {{ ref('dim_department') }} as departments on departments.department_key = ancestors.ancestor_key
    group by ancestors.descendant_key
)

select
    members.user_id as manager_key,
    coalesce(nullif(members.person_name, ''), members.email, '#' || cast(members.user_id as varchar)) as full_name,
    members.email,
    members.position,
    members.is_active,
    coalesce(not members.is_active and members.user_type = 'employee', false) as is_dismissed,
    members.employment_date,
    members.department_key,
    departments.name as department_name,
    coalesce(heads.head_key, 0) as head_key,
    departments.path as department_path,
    levels.dept_level_1,
    levels.dept_level_2,
    levels.dept_level_3,
    levels.dept_level_4,
    {{ in_var_list('members.department_key', 'sales_department_ids') if var('sales_department_ids') else 'true' }}
        as is_sales

from members
inner join {{ ref('dim_department') }} as departments on departments.department_key = members.department_key
inner join levels on levels.department_key = members.department_key
left join heads on heads.user_id = members.user_id and heads.place = 1
