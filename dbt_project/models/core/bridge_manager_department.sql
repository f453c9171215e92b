-- One row per user and department he belongs to.
select
    user_id as manager_key,
    department_id as department_key,
    is_main

from {{ ref('int_users__departments') }}
