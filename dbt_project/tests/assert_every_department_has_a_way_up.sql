{{ config(severity='warn') }}
-- Departments whose parent is missing or leads back to them: they count as roots.
select department_id, listed_parent_id
from {{ ref('int_departments__tree') }}
where listed_parent_id is not null and parent_id is null
