{% snapshot snap_users %}
-- One row per user and stretch of time in one main department, at work or gone.
select
    users.user_id,
    memberships.department_id,
    users.is_active and users.is_listed as is_active
from {{ ref('stg_bitrix24__users') }} as users
left join {{ ref('int_users__departments') }} as memberships
    on memberships.user_id = users.user_id and memberships.is_main
where users.user_id is not null
{% endsnapshot %}
