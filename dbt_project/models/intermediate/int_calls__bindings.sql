-- One row per call and card it is bound to: by its CRM card, or by the activity that stands for it. Clients' cards are
-- left out: whose call it was is told by fct_calls.
{{ config(materialized='table') }}

with calls as (
    select call_id, crm_entity_type, crm_entity_id, activity_id from {{ ref('fct_calls') }}
),

bindings as (
    select bindings.*
    from {{ ref('bridge_activity_binding') }} as bindings
    inner join {{ ref('fct_activities') }} as activities on activities.activity_id = bindings.activity_id
    where activities.is_in_scope
)

select
    call_id,
    case crm_entity_type when 'LEAD' then 1 else 2 end as owner_type_id,
    crm_entity_id as owner_id
from calls
where crm_entity_type in ('LEAD', 'DEAL') and crm_entity_id is not null

union

select
    calls.call_id,
    bindings.owner_type_id,
    bindings.owner_id
from calls
inner join bindings on bindings.activity_id = calls.activity_id
where bindings.owner_type_id not in (3, 4)
