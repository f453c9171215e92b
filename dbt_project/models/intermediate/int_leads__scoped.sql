-- One row per lead, deleted ones too: its outcome, and whether the marts count it (R8).
{{ config(materialized='table') }}

with leads as (
    select * from {{ ref('stg_bitrix24__leads') }}
)

select
    -- ids
    lead_id,
    status_id,
    coalesce(manager_id, 0) as manager_key,
    company_id,
    contact_id,

    -- dimensions
    title,
    case status_semantics when 'S' then 'converted' when 'F' then 'junk' else 'open' end as outcome,
    source_id,
    source_description,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_content,
    utm_term,
    currency,
    phones,

    -- measures
    amount,

    -- flags
    is_return_customer,
    is_deleted,
    (
        not is_deleted
        and not {{ is_test_title('title') }}
        and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }}
    ) as is_in_scope,

    -- times; an open lead is not closed whatever its card says
    case when status_semantics in ('S', 'F') then closed_at end as closed_at,
    created_at,
    {{ local_date('created_at') }} as created_date,
    modified_at,
    deleted_at,
    loaded_at

from leads
