-- One row per user and department he belongs to; the first of the list is the main one.
with users as (
    select
        user_id,
        {{ json_elements('department_ids') }} as departments
    from {{ ref('stg_bitrix24__users') }}
),

elements as (
    select
        user_id,
        {{ to_id('unnest(departments)') }} as department_id,
        generate_subscripts(departments, 1) as place
    from users
),

placed as (
    select
        user_id,
        department_id,
        min(place) as place
    from elements
    where department_id is not null
    group by user_id, department_id
)

select
    user_id,
    department_id,
    row_number() over (partition by user_id order by place) = 1 as is_main
from placed
