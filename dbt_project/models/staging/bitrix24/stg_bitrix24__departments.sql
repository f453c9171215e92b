-- One row per department. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'departments') }}
)

select
    {{ to_id('id') }} as department_id,
    {{ to_id('parent') }} as parent_id,
    {{ to_id('uf_head') }} as head_id,
    {{ to_text('name') }} as name,
    coalesce({{ to_int('sort') }}, 0) as sort,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
