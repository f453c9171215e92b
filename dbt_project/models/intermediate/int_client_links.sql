-- One row per lead, deal, contact and company: the client it belongs to, 'unknown' when there is none.
{{ config(materialized='table') }}
{{ only_supported('client_priority', ['company_first', 'contact_first']) }}

with deals as (
    select * from {{ ref('int_deals__scoped') }}
),

leads as (
    select * from {{ ref('int_leads__scoped') }}
),

activities as (
    select owner_type_id, owner_id from {{ ref('stg_bitrix24__activities') }}
),

calls as (
    select crm_entity_type, crm_entity_id from {{ ref('stg_bitrix24__calls') }}
),

items as (
    select company_id, contact_id from {{ ref('int_items') }}
),

-- a card deleted before the first load is in no list, but what points at it still tells one client from another
met_companies as (
    select company_id from {{ ref('stg_bitrix24__companies') }}
    union
    select company_id from deals where company_id is not null
    union
    select company_id from leads where company_id is not null
    union
    select company_id from items where company_id is not null
    union
    select company_id from {{ ref('stg_bitrix24__contacts') }} where company_id is not null
    union
    select owner_id as company_id from activities where owner_type_id = 4 and owner_id is not null
    union
    select crm_entity_id as company_id from calls where crm_entity_type = 'COMPANY' and crm_entity_id is not null
),

met_contacts as (
    select contact_id from {{ ref('stg_bitrix24__contacts') }}
    union
    select contact_id from deals where contact_id is not null
    union
    select contact_id from leads where contact_id is not null
    union
    select contact_id from items where contact_id is not null
    union
    select owner_id as contact_id from activities where owner_type_id = 3 and owner_id is not null
    union
    select crm_entity_id as contact_id from calls where crm_entity_type = 'CONTACT' and crm_entity_id is not null
),

-- our own legal entities are nobody's client
company_clients as (
    select
        met.company_id,
        case when not coalesce(listed.is_my_company, false) then {{ company_client_key('met.company_id') }} end
            as client_key
    from met_companies as met
    left join {{ ref('stg_bitrix24__companies') }} as listed on listed.company_id = met.company_id
),

contact_clients as (
    select
        met.contact_id,
        {% if var('rollup_contact_to_company') -%}
            coalesce(employer.client_key, {{ contact_client_key('met.contact_id') }}) as client_key
        {%- else -%}
            {{ contact_client_key('met.contact_id') }} as client_key
        {%- endif %}
    from met_contacts as met
    {%- if var('rollup_contact_to_company') %}
    left join {{ ref('stg_bitrix24__contacts') }} as listed on listed.contact_id = met.contact_id
    left join company_clients as employer on employer.company_id = listed.company_id
    {%- endif %}
),

cards as (
    select 'deal' as entity, deal_id as entity_id, company_id, contact_id from deals
    union all
    select 'lead' as entity, lead_id as entity_id, company_id, contact_id from leads
),

own_clients as (
    select
        cards.entity,
        cards.entity_id,
        {% if var('client_priority') == 'company_first' -%}
            coalesce(company_clients.client_key, contact_clients.client_key) as client_key
        {%- else -%}
            coalesce(contact_clients.client_key, company_clients.client_key) as client_key
        {%- endif %}
    from cards
    left join company_clients on company_clients.company_id = cards.company_id
    left join contact_clients on contact_clients.contact_id = cards.contact_id
),

-- a lead without a client takes that of the first deal it became
deals_of_leads as (
    select
        deals.lead_id,
        own_clients.client_key,
        row_number() over (partition by deals.lead_id order by deals.deal_id) as deal_number
    from deals
    inner join own_clients on own_clients.entity = 'deal' and own_clients.entity_id = deals.deal_id
    where
        deals.is_in_scope
        and deals.lead_id is not null
        and own_clients.client_key is not null
),

resolved as (
    select
        own_clients.entity,
        own_clients.entity_id,
        coalesce(own_clients.client_key, deals_of_leads.client_key) as client_key
    from own_clients
    left join deals_of_leads
        -- one comparison: with the entity beside it DuckDB compares every row with every other
        on deals_of_leads.lead_id = case own_clients.entity when 'lead' then own_clients.entity_id end
        and deals_of_leads.deal_number = 1

    union all
    select 'contact' as entity, contact_id as entity_id, client_key from contact_clients
    union all
    select 'company' as entity, company_id as entity_id, client_key from company_clients
),

merged as (
    select
        resolved.entity,
        resolved.entity_id,
        coalesce(merges.new_key, resolved.client_key, 'unknown') as client_key
    from resolved
    left join {{ ref('int_client_merges') }} as merges on merges.old_key = resolved.client_key
)

select
    entity,
    entity_id,
    client_key,
    case left(client_key, 1) when 'C' then 'company' when 'P' then 'contact' else 'unknown' end as client_type
from merged
