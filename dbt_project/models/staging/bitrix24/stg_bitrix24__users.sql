-- One row per user of the portal. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'users') }}
)

select
    {{ to_id('id') }} as user_id,
    {{ to_text('last_name') }} as last_name,
    {{ to_text('name') }} as first_name,
    {{ to_text('second_name') }} as second_name,
    {{ to_text('email') }} as email,
    {{ to_text('work_position') }} as position,
    {{ to_code('user_type') }} as user_type,
    uf_department as department_ids,
    {{ to_flag('active') }} as is_active,
    -- the portal lists only what exists; a row kept from an earlier list is gone
    _deleted_at is null and _loaded_at = max(_loaded_at) over () as is_listed,
    {{ to_calendar_date('uf_employment_date') }} as employment_date,
    {{ to_instant('date_register') }} as registered_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
