-- One row per department that the portal lists, listed once, or names in a user's card; a parent that was never listed
-- or leads back to the department itself is dropped, so every department has a way up to a root.
with recursive listed as (
    select * from {{ ref('stg_bitrix24__departments') }} where department_id is not null
),

departments as (
    select department_id, parent_id, head_id, name, sort, is_listed from listed
    union all
    select distinct
        memberships.department_id,
        cast(null as bigint) as parent_id,
        cast(null as bigint) as head_id,
        '#' || cast(memberships.department_id as varchar) as name,
        cast(null as bigint) as sort,
        false as is_listed
    from {{ ref('int_users__departments') }} as memberships
    left join listed on listed.department_id = memberships.department_id
    where listed.department_id is null
),

-- the way up from each department, until it ends or comes back to where it began
ways_up (department_id, ancestor_id, distance) as (
    select child.department_id, parent.department_id as ancestor_id, 1 as distance
    from departments as child
    inner join departments as parent on parent.department_id = child.parent_id
    union all
    select ways_up.department_id, parent.department_id as ancestor_id, ways_up.distance + 1 as distance
    from ways_up
    inner join departments as child on child.department_id = ways_up.ancestor_id
    inner join departments as parent on parent.department_id = child.parent_id
    where ways_up.ancestor_id <> ways_up.department_id and ways_up.distance < 100
),

circular as (
    select distinct department_id from ways_up where ancestor_id = department_id
)

select
    departments.department_id,
    departments.parent_id as listed_parent_id,
    case when circular.department_id is null then parents.department_id end as parent_id,
    departments.head_id,
    coalesce(departments.name, '#' || cast(departments.department_id as varchar)) as name,
    departments.sort,
    departments.is_listed

from departments
left join listed as parents on parents.department_id = departments.parent_id
left join circular on circular.department_id = departments.department_id
