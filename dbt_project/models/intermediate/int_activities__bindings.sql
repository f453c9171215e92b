-- One row per activity and CRM card it belongs to: its owner and every binding.
{{ config(materialized='table') }}

with activities as (
    select activity_id, owner_type_id, owner_id, bindings from {{ ref('stg_bitrix24__activities') }}
),

listed as (
    select activity_id, unnest({{ json_elements('bindings') }}) as binding
    from activities
),

bound as (
    select
        activity_id,
        {{ to_id(json_text('binding', '$.OWNER_TYPE_ID')) }} as owner_type_id,
        {{ to_id(json_text('binding', '$.OWNER_ID')) }} as owner_id
    from listed

    union

    select activity_id, owner_type_id, owner_id from activities
)

select
    bound.activity_id,
    bound.owner_type_id,
    bound.owner_id,
    coalesce(bound.owner_type_id = activities.owner_type_id and bound.owner_id = activities.owner_id, false) as is_owner
from bound
inner join activities on activities.activity_id = bound.activity_id
where bound.owner_type_id is not null and bound.owner_id is not null
