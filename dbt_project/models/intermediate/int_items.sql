-- One row per smart invoice (entity type 31) and per item of a smart process, deleted ones too.
with items as (
    select
        'invoice' as entity, 31 as entity_type_id, invoice_id as item_id, pipeline_key, stage_id, manager_id, company_id,
        contact_id, deal_id, title, currency, amount, close_date, created_at, modified_at, moved_at, is_deleted,
        deleted_at, loaded_at
    from {{ ref('stg_bitrix24__smart_invoices') }}
    union all
    select
        'process' as entity, entity_type_id, item_id, pipeline_key, stage_id, manager_id, company_id,
        contact_id, deal_id, title, currency, amount, close_date, created_at, modified_at, moved_at, is_deleted,
        deleted_at, loaded_at
    from {{ ref('stg_bitrix24__process_items') }}
)

select
    entity,
    entity_type_id,
    item_id,
    coalesce(pipeline_key, 0) as pipeline_key,
    stage_id,
    coalesce(manager_id, 0) as manager_key,
    company_id,
    contact_id,
    deal_id,
    title,
    currency,
    amount,
    (
        not is_deleted
        and not {{ in_var_list('coalesce(pipeline_key, 0)', 'excluded_category_ids') }}
        and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }}
    ) as is_in_scope,
    is_deleted,
    close_date,
    created_at,
    {{ local_date('created_at') }} as created_date,
    modified_at,
    moved_at,
    deleted_at,
    loaded_at

from items
