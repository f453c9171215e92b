-- One row per department and each of its descendants, itself included at distance 0.
with recursive departments as (
    select department_key, parent_key from {{ ref('dim_department') }}
),

closure (ancestor_key, descendant_key, distance) as (
    select department_key as ancestor_key, department_key as descendant_key, 0 as distance from departments
    union all
    select closure.ancestor_key, departments.department_key as descendant_key, closure.distance + 1 as distance
    from closure
    inner join departments on departments.parent_key = closure.descendant_key
)

select ancestor_key, descendant_key, cast(distance as bigint) as distance from closure
