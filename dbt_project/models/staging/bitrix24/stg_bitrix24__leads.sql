-- One row per lead, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'leads') }}
)

select
    -- ids
    {{ to_id('id') }} as lead_id,
    {{ to_code('status_id') }} as status_id,
    {{ to_id('assigned_by_id') }} as manager_id,
    {{ to_id('created_by_id') }} as created_by_id,
    {{ to_id('company_id') }} as company_id,
    {{ to_id('contact_id') }} as contact_id,

    -- dimensions
    {{ to_text('title') }} as title,
    upper({{ to_code('status_semantic_id') }}) as status_semantics,
    {{ to_code('source_id') }} as source_id,
    {{ to_text('source_description') }} as source_description,
    {{ to_tag('utm_source') }} as utm_source,
    {{ to_tag('utm_medium') }} as utm_medium,
    {{ to_tag('utm_campaign') }} as utm_campaign,
    {{ to_tag('utm_content') }} as utm_content,
    {{ to_tag('utm_term') }} as utm_term,
    {{ to_currency('currency_id') }} as currency,
    phone as phones,
    email as emails,

    -- measures; amount is in the lead's currency, not converted
    {{ to_money('opportunity') }} as amount,

    -- flags
    {{ to_flag('is_return_customer') }} as is_return_customer,

    -- times
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('date_modify') }} as modified_at,
    {{ to_instant('moved_time') }} as moved_at,
    {{ to_instant('date_closed') }} as closed_at,
    {{ to_instant('last_activity_time') }} as last_activity_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
