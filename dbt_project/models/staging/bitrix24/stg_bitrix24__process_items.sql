-- One row per item of a smart process, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'process_items') }}
)

select
    -- ids
    {{ to_int('entity_type_id') }} as entity_type_id,
    {{ to_id('id') }} as item_id,
    {{ to_int('category_id') }} as pipeline_key,
    {{ to_code('stage_id') }} as stage_id,
    {{ to_code('previous_stage_id') }} as previous_stage_id,
    {{ to_id('assigned_by_id') }} as manager_id,
    {{ to_id('created_by') }} as created_by_id,
    {{ to_id('company_id') }} as company_id,
    {{ to_id('contact_id') }} as contact_id,
    {{ to_id('mycompany_id') }} as own_company_id,
    contact_ids,
    {{ to_id('parent_id1') }} as lead_id,
    {{ to_id('parent_id2') }} as deal_id,
    {{ to_id('parent_id7') }} as quote_id,
    {{ to_id('parent_id31') }} as invoice_id,

    -- dimensions
    {{ to_text('title') }} as title,
    {{ to_code('source_id') }} as source_id,
    {{ to_text('source_description') }} as source_description,
    {{ to_currency('currency_id') }} as currency,
    custom_fields,

    -- measures; amounts are in the row's currency, not converted
    {{ to_money('opportunity') }} as amount,
    {{ to_money('tax_value') }} as tax_amount,

    -- flags
    {{ to_flag('is_manual_opportunity') }} as is_manual_amount,

    -- times
    {{ to_calendar_date('begindate') }} as begin_date,
    {{ to_calendar_date('closedate') }} as close_date,
    {{ to_instant('created_time') }} as created_at,
    {{ to_instant('updated_time') }} as modified_at,
    {{ to_instant('moved_time') }} as moved_at,
    {{ to_instant('last_activity_time') }} as last_activity_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
