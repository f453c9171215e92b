-- One row per open line. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'openline_configs') }}
)

select
    {{ to_id('id') }} as line_id,
    {{ to_text('line_name') }} as name,
    {{ to_flag('active') }} as is_active,
    {{ to_flag('crm') }} as is_crm_used,
    {{ to_flag('vote_message') }} as asks_for_vote,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
