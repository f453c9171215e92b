-- One row per quote, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'quotes') }}
)

select
    -- ids
    {{ to_id('id') }} as quote_id,
    {{ to_code('status_id') }} as stage_id,
    {{ to_id('assigned_by_id') }} as manager_id,
    {{ to_id('created_by_id') }} as created_by_id,
    {{ to_id('company_id') }} as company_id,
    {{ to_id('contact_id') }} as contact_id,
    {{ to_id('mycompany_id') }} as own_company_id,
    {{ to_id('deal_id') }} as deal_id,
    {{ to_id('lead_id') }} as lead_id,

    -- dimensions
    {{ to_text('quote_number') }} as quote_number,
    {{ to_text('title') }} as title,
    {{ to_tag('utm_source') }} as utm_source,
    {{ to_tag('utm_medium') }} as utm_medium,
    {{ to_tag('utm_campaign') }} as utm_campaign,
    {{ to_tag('utm_content') }} as utm_content,
    {{ to_tag('utm_term') }} as utm_term,
    {{ to_currency('currency_id') }} as currency,
    custom_fields,

    -- measures; amounts are in the row's currency, not converted
    {{ to_money('opportunity') }} as amount,
    {{ to_money('tax_value') }} as tax_amount,

    -- flags
    {{ to_flag('closed') }} as is_closed,

    -- times
    {{ to_calendar_date('begindate') }} as begin_date,
    {{ to_calendar_date('closedate') }} as close_date,
    {{ to_calendar_date('actual_date') }} as valid_until_date,
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('date_modify') }} as modified_at,
    {{ to_instant('last_activity_time') }} as last_activity_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
