-- One row per order and the CRM item it belongs to. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'order_entities') }}
)

select
    {{ to_id('order_id') }} as order_id,
    {{ to_id('owner_type_id') }} as owner_type_id,
    {{ to_id('owner_id') }} as owner_id,
    -- the list is read whole: a row that the latest reading did not bring has left the portal
    _deleted_at is not null or _loaded_at < max(_loaded_at) over () as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
