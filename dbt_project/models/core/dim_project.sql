-- One row per workgroup or project that the portal lists, or a task or a budget names; 0 stands for "no project".
with workgroups as (
    select * from {{ ref('stg_bitrix24__workgroups') }}
),

named as (
    select project_id from {{ ref('stg_bitrix24__tasks') }} where project_id is not null
    union
    select project_id from {{ ref('stg_files__project_budget') }} where project_id is not null
)

select
    coalesce(workgroups.project_id, named.project_id) as project_key,
    coalesce(workgroups.name, '#' || cast(coalesce(workgroups.project_id, named.project_id) as varchar)) as name,
    coalesce(workgroups.owner_id, 0) as owner_key,
    coalesce(workgroups.is_project, false) as is_project,
    coalesce(workgroups.is_closed, false) as is_closed,
    not coalesce(workgroups.is_listed, false) as is_deleted,
    workgroups.start_date as date_start,
    workgroups.finish_date as date_finish

from workgroups
full outer join named on named.project_id = workgroups.project_id

union all

select 0, 'Без проекта', 0, false, false, false, null, null
