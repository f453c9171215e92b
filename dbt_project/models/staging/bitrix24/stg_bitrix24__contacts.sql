-- One row per contact, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'contacts') }}
)

select
    -- ids
    {{ to_id('id') }} as contact_id,
    {{ to_id('company_id') }} as company_id,
    {{ to_id('lead_id') }} as lead_id,
    {{ to_id('assigned_by_id') }} as manager_id,
    {{ to_id('created_by_id') }} as created_by_id,

    -- dimensions
    {{ to_text('last_name') }} as last_name,
    {{ to_text('name') }} as first_name,
    {{ to_text('second_name') }} as second_name,
    {{ to_code('type_id') }} as contact_type,
    {{ to_text('address_city') }} as city,
    {{ to_code('source_id') }} as source_id,
    {{ to_text('source_description') }} as source_description,
    {{ to_tag('utm_source') }} as utm_source,
    {{ to_tag('utm_medium') }} as utm_medium,
    {{ to_tag('utm_campaign') }} as utm_campaign,
    {{ to_tag('utm_content') }} as utm_content,
    {{ to_tag('utm_term') }} as utm_term,
    phone as phones,
    email as emails,

    -- times
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('date_modify') }} as modified_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
