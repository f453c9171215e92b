-- One row per department; 0 stands for "no department".
with recursive tree as (
    select * from {{ ref('int_departments__tree') }}
),

placed (department_id, level, path) as (
    select department_id, 1 as level, name as path from tree where parent_id is null
    union all
    select tree.department_id, placed.level + 1 as level, placed.path || ' / ' || tree.name as path
    from placed
    inner join tree on tree.parent_id = placed.department_id
)

select
    tree.department_id as department_key,
    tree.name,
    tree.parent_id as parent_key,
    coalesce(tree.head_id, 0) as head_key,
    cast(placed.level as bigint) as level,
    placed.path,
    tree.sort,
    not tree.is_listed as is_deleted

from tree
inner join placed on placed.department_id = tree.department_id

union all

select
    0 as department_key,
    'Не определено' as name,
    null as parent_key,
    0 as head_key,
    1 as level,
    'Не определено' as path,
    null as sort,
    false as is_deleted
