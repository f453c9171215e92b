-- One row per address of one type of a set of requisites or of a lead. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'addresses') }}
)

select
    {{ to_id('type_id') }} as address_type_id,
    {{ to_id('entity_type_id') }} as owner_type_id,
    {{ to_id('entity_id') }} as owner_id,
    {{ to_id('anchor_type_id') }} as client_type_id,
    {{ to_id('anchor_id') }} as client_id,
    {{ to_text('city') }} as city,
    {{ to_text('region') }} as region,
    {{ to_text('province') }} as province,
    {{ to_text('country') }} as country,
    {{ to_code('country_code') }} as country_code,
    -- the list is read whole: a row that the latest reading did not bring has left the portal
    _deleted_at is not null or _loaded_at < max(_loaded_at) over () as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
