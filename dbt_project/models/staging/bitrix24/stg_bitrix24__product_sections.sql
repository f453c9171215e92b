-- One row per section of a catalogue. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'product_sections') }}
)

select
    {{ to_id('id') }} as section_id,
    {{ to_id('iblock_id') }} as catalog_id,
    {{ to_id('iblock_section_id') }} as parent_id,
    {{ to_text('name') }} as name,
    coalesce({{ to_int('sort') }}, 0) as sort,
    {{ to_flag('active') }} as is_active,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over (partition by iblock_id) as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
