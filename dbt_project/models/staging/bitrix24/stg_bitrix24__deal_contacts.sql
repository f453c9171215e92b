-- One row per deal, with all its contacts. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'deal_contacts') }}
)

select
    {{ to_id('id') }} as deal_id,
    contact_ids,
    {{ to_instant('updated_time') }} as modified_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
