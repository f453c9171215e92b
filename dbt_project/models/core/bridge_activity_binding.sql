-- One row per activity and CRM card it belongs to: its owner and every binding.
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
        {{ to_id(json_text('binding', '$.OWNER_ID')) }} as owner_id,
        false as is_owner
    from listed

    union all

    select activity_id, owner_type_id, owner_id, true as is_owner from activities
)

select activity_id, owner_type_id, owner_id, bool_or(is_owner) as is_owner
from bound
group by activity_id, owner_type_id, owner_id
-- a plain filter would be asked while the bindings are parsed, and parse them twice
having count(owner_type_id) > 0 and count(owner_id) > 0
