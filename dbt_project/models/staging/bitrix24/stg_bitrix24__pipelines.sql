-- One row per pipeline of deals, smart invoices or a smart process. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'pipelines') }}
)

select
    {{ to_int('entity_type_id') }} as entity_type_id,
    {{ to_int('id') }} as pipeline_key,
    {{ to_text('name') }} as name,
    coalesce({{ to_int('sort') }}, 0) as sort,
    {{ to_flag('is_default') }} as is_default,
    -- the portal lists only what exists; a row kept from an earlier list of its type is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over (partition by entity_type_id) as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
