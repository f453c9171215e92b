-- One row per activity and CRM card it belongs to.
select activity_id, owner_type_id, owner_id, is_owner
from {{ ref('int_activities__bindings') }}
