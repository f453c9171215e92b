{{ config(materialized='table') }}
-- One row per smart invoice and per item of a smart process: its outcome, when it was closed, and its client.
with items as (
    select * from {{ ref('int_items') }}
),

stages as (
    select * from {{ ref('dim_stage') }}
),

last_visits as (
    select * from {{ ref('int_items__stage_visits') }} where is_current
),

links as (
    select * from {{ ref('int_client_links') }} where client_key <> 'unknown'
),

joined as (
    select
        items.*,
        case stages.semantics when 'S' then 'won' when 'F' then 'lost' else 'open' end as outcome,
        last_visits.item_id is not null as has_history,
        -- var close_date_source is about deals: here the card's date is the term
        coalesce(
            case when last_visits.stage_id = items.stage_id then last_visits.entered_at end,
            items.moved_at,
            {{ local_midnight('items.close_date') }},
            items.modified_at
        ) as closing_at,
        {% set companies_first = var('client_priority') == 'company_first' -%}
        coalesce(
            {{ 'companies' if companies_first else 'contacts' }}.client_key,
            {{ 'contacts' if companies_first else 'companies' }}.client_key,
            'unknown'
        ) as client_key

    from items
    left join stages
        on
            stages.entity_type_id = items.entity_type_id
            and stages.pipeline_key = items.pipeline_key
            and stages.stage_id = items.stage_id
    left join last_visits
        on last_visits.entity_type_id = items.entity_type_id and last_visits.item_id = items.item_id
    left join links as companies on companies.entity = 'company' and companies.entity_id = items.company_id
    left join links as contacts on contacts.entity = 'contact' and contacts.entity_id = items.contact_id
)

select
    entity,
    entity_type_id,
    item_id,
    pipeline_key,
    coalesce(stage_id, '') as stage_id,
    manager_key,
    client_key,
    deal_id,
    title,
    outcome,
    currency,
    amount,
    has_history,
    is_deleted,
    is_in_scope,
    close_date,
    created_at,
    created_date,
    case when outcome <> 'open' then closing_at end as closed_at,
    case when outcome <> 'open' then {{ local_date('closing_at') }} end as closed_date,
    modified_at,
    deleted_at,
    loaded_at

from joined
