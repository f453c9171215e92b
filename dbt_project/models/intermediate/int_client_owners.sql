-- One row per card that may own an activity or a call: its client. Test and deleted leads and deals lead to nobody.
with links as (
    select
        case entity when 'lead' then 1 when 'deal' then 2 when 'contact' then 3 else 4 end as owner_type_id,
        *
    from {{ ref('int_client_links') }}
),

hidden as (
    select 1 as owner_type_id, lead_id as owner_id from {{ ref('int_leads__scoped') }} where not is_in_scope
    union all
    select 2 as owner_type_id, deal_id as owner_id from {{ ref('int_deals__scoped') }} where not is_in_scope
)

select
    links.owner_type_id,
    links.entity_id as owner_id,
    upper(links.entity) as entity_type,
    case when hidden.owner_id is null then links.client_key else 'unknown' end as client_key
from links
left join hidden on hidden.owner_type_id = links.owner_type_id and hidden.owner_id = links.entity_id
