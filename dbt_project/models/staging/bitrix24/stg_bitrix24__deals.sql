-- One row per deal, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'deals') }}
)

select
    -- ids
    {{ to_id('id') }} as deal_id,
    coalesce({{ to_int('category_id') }}, 0) as pipeline_key,
    {{ to_code('stage_id') }} as stage_id,
    {{ to_id('assigned_by_id') }} as manager_id,
    {{ to_id('created_by_id') }} as created_by_id,
    {{ to_id('company_id') }} as company_id,
    {{ to_id('contact_id') }} as contact_id,
    {{ to_id('lead_id') }} as lead_id,

    -- dimensions
    {{ to_text('title') }} as title,
    {{ to_code('type_id') }} as deal_type,
    upper({{ to_code('stage_semantic_id') }}) as stage_semantics,
    {{ to_code('source_id') }} as source_id,
    {{ to_text('source_description') }} as source_description,
    {{ to_tag('utm_source') }} as utm_source,
    {{ to_tag('utm_medium') }} as utm_medium,
    {{ to_tag('utm_campaign') }} as utm_campaign,
    {{ to_tag('utm_content') }} as utm_content,
    {{ to_tag('utm_term') }} as utm_term,
    {{ to_currency('currency_id') }} as currency,

    -- measures; amount is in the deal's currency, not converted
    {{ to_money('opportunity') }} as amount,
    {{ to_int('probability') }} as probability,

    -- flags
    {{ to_flag('is_manual_opportunity') }} as is_manual_amount,
    {{ to_flag('is_recurring') }} as is_recurring,
    {{ to_flag('is_return_customer') }} as is_return_customer,
    {{ to_flag('is_repeated_approach') }} as is_repeated_approach,

    -- times
    {{ to_calendar_date('begindate') }} as begin_date,
    {{ to_calendar_date('closedate') }} as close_date,
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('date_modify') }} as modified_at,
    {{ to_instant('moved_time') }} as moved_at,
    {{ to_instant('last_activity_time') }} as last_activity_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
