-- One row per entry of a CRM dictionary (stages, sources, ...). Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'statuses') }}
)

select
    {{ to_id('id') }} as status_row_id,
    {{ to_code('entity_id') }} as dictionary_code,
    {{ to_text('status_id') }} as status_id,
    {{ to_text('name') }} as name,
    coalesce({{ to_int('sort') }}, 0) as sort,
    -- the same meaning stands in words beside the colour, where the letter is missing
    coalesce(
        upper({{ to_code('semantics') }}),
        case {{ json_text('extra', '$.SEMANTICS') }} when 'success' then 'S' when 'failure' then 'F' when 'apology' then 'F' end
    ) as semantics,
    {{ to_text('color') }} as color,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    -- the same within its dictionary: what a deleted pipeline looked like when it was last seen
    _loaded_at = max(_loaded_at) over (partition by entity_id) as is_last_known,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
