-- One row per leg of a call, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'calls') }}
)

select
    -- ids
    {{ to_id('id') }} as call_leg_id,
    {{ to_text('call_id') }} as call_code,
    {{ to_id('portal_user_id') }} as manager_id,
    upper({{ to_code('crm_entity_type') }}) as crm_entity_type,
    {{ to_id('crm_entity_id') }} as crm_entity_id,
    {{ to_id('crm_activity_id') }} as activity_id,

    -- dimensions
    {{ to_int('call_type') }} as call_type,
    {{ to_text('call_failed_code') }} as result_code,
    {{ to_text('portal_number') }} as portal_number,
    {{ to_text('phone_number') }} as phone_number,
    {{ to_currency('cost_currency') }} as currency,

    -- measures
    coalesce({{ to_int('call_duration') }}, 0) as duration_seconds,
    {{ to_id('call_vote') }} as vote,
    {{ to_money('cost') }} as cost,

    -- times
    {{ to_instant('call_start_date') }} as started_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
