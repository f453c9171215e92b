-- One row per call and lead or deal it is bound to: by its CRM card, or by the activity that is its own card.
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
    lower(crm_entity_type) as entity,
    crm_entity_id as entity_id
from calls
where crm_entity_type in ('LEAD', 'DEAL') and crm_entity_id is not null

union

select
    calls.call_id,
    case bindings.owner_type_id when 1 then 'lead' else 'deal' end as entity,
    bindings.owner_id as entity_id
from calls
inner join bindings on bindings.activity_id = calls.activity_id
where bindings.owner_type_id in (1, 2)
