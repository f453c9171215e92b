{{ config(materialized='table') }}
-- One row per deal, deleted ones too, with its outcome and whether figures count it.
{{ only_supported('deal_created_source', ['date_create']) }}
{{ only_supported('manager_attribution', ['current', 'at_close']) }}
{{ only_supported('portal_id', [none]) }}
with deals as (
    {% if var('manager_attribution') == 'at_close' -%}
    select deals.*, coalesce(closings.manager_key, deals.manager_id, 0) as manager_key
    from {{ ref('stg_bitrix24__deals') }} as deals
    left join {{ ref('int_deals__closing_managers') }} as closings on closings.deal_id = deals.deal_id
    {%- else -%}
    select *, coalesce(manager_id, 0) as manager_key
    from {{ ref('stg_bitrix24__deals') }}
    {%- endif %}
)

select
    deal_id,
    pipeline_key,
    stage_id,
    manager_key,
    coalesce(created_by_id, 0) as created_by_key,
    company_id,
    contact_id,
    lead_id,
    title,
    deal_type,
    case stage_semantics when 'S' then 'won' when 'F' then 'lost' else 'open' end as outcome,
    source_id,
    source_description,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_content,
    utm_term,
    amount,
    currency,
    probability,
    is_return_customer,
    is_repeated_approach,
    begin_date,
    close_date,
    created_at,
    {{ local_date('created_at') }} as created_date,
    modified_at,
    moved_at,
    last_activity_at,
    is_deleted,
    deleted_at,
    loaded_at,
    not is_deleted
        and not is_recurring
        and not {{ in_var_list('pipeline_key', 'excluded_category_ids') }}
        and not {{ in_var_list('manager_key', 'excluded_user_ids') }}
        and not {{ is_test_title('title') }} as is_in_scope

from deals
