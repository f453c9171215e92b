-- One row per client: companies (not our own), contacts, those that only other cards name, and 'unknown'.
with companies as (
    select * from {{ ref('stg_bitrix24__companies') }} where not is_my_company
),

contacts as (
    select * from {{ ref('stg_bitrix24__contacts') }}
),

industries as (
    select
        status_id,
        name,
        row_number() over (partition by status_id order by status_row_id desc) as status_number
    from {{ ref('stg_bitrix24__statuses') }}
    where dictionary_code = 'INDUSTRY'
),

listed as (
    select
        {{ company_client_key('companies.company_id') }} as client_key,
        'company' as client_type,
        companies.company_id as source_id,
        companies.title as name,
        {{ phone_hash(json_text('companies.phones', '$[0].VALUE')) }} as phone_hash,
        {{ email_hash(json_text('companies.emails', '$[0].VALUE')) }} as email_hash,
        companies.city,
        coalesce(industries.name, companies.industry) as industry,
        coalesce(companies.manager_id, 0) as responsible_key,
        companies.created_at,
        companies.modified_at,
        companies.is_deleted,
        companies.deleted_at,
        companies.loaded_at
    from companies
    left join industries on industries.status_id = companies.industry and industries.status_number = 1

    union all

    select
        {{ contact_client_key('contact_id') }} as client_key,
        'contact' as client_type,
        contact_id as source_id,
        nullif(trim(coalesce(last_name, '') || ' ' || coalesce(first_name, '')), '') as name,
        {{ phone_hash(json_text('phones', '$[0].VALUE')) }} as phone_hash,
        {{ email_hash(json_text('emails', '$[0].VALUE')) }} as email_hash,
        city,
        cast(null as varchar) as industry,
        coalesce(manager_id, 0) as responsible_key,
        created_at,
        modified_at,
        is_deleted,
        deleted_at,
        loaded_at
    from contacts
),

links as (
    select * from {{ ref('int_client_links') }}
),

-- keys that are in use though no list of the portal has them
inferred as (
    select distinct
        links.client_key,
        links.client_type,
        substr(links.client_key, 2) as source_id
    from links
    left join listed on listed.client_key = links.client_key
    where links.client_key <> 'unknown' and listed.client_key is null
),

known as (
    select
        client_key,
        client_type,
        coalesce(name, '#' || cast(source_id as varchar)) as name,
        phone_hash,
        email_hash,
        city,
        industry,
        responsible_key,
        is_deleted,
        created_at,
        modified_at,
        deleted_at,
        loaded_at
    from listed

    union all

    select
        client_key,
        client_type,
        '#' || source_id as name,
        null as phone_hash,
        null as email_hash,
        null as city,
        null as industry,
        0 as responsible_key,
        true as is_deleted,
        null as created_at,
        null as modified_at,
        null as deleted_at,
        null as loaded_at
    from inferred

    union all

    select
        'unknown' as client_key,
        'unknown' as client_type,
        'Не определено' as name,
        null as phone_hash,
        null as email_hash,
        null as city,
        null as industry,
        0 as responsible_key,
        false as is_deleted,
        null as created_at,
        null as modified_at,
        null as deleted_at,
        null as loaded_at
),

channels as (
    select
        case entity
            when 'company' then {{ company_client_key('entity_id') }}
            else {{ contact_client_key('entity_id') }}
        end as client_key,
        channel_key
    from {{ ref('int_channel_resolved') }}
    where entity in ('company', 'contact')
),

deals as (
    select
        links.client_key,
        min(deals.created_at) as first_deal_at,
        min(closed.won_at) as first_won_at,
        max(closed.won_at) as last_won_at,
        count(closed.won_at) as won_count
    from {{ ref('int_deals__scoped') }} as deals
    inner join links on links.entity = 'deal' and links.entity_id = deals.deal_id
    left join {{ ref('int_deals__closed') }} as closed on closed.deal_id = deals.deal_id
    where deals.is_in_scope and links.client_key <> 'unknown'
    group by links.client_key
)

select
    -- ids
    known.client_key,
    known.client_type,
    known.name,
    known.phone_hash,
    known.email_hash,
    known.responsible_key,
    coalesce(channels.channel_key, 'unknown') as source_channel_key,
    merges.new_key as merged_into_key,

    -- dimensions
    requisites.inn,
    coalesce(requisites.city, known.city) as city,
    known.industry,

    -- measures
    coalesce(deals.won_count, 0) as won_count,

    -- flags
    known.is_deleted,

    -- times
    deals.first_deal_at,
    deals.first_won_at,
    deals.last_won_at,
    known.created_at,
    {{ local_date('known.created_at') }} as created_date,
    known.modified_at,
    known.deleted_at,
    known.loaded_at
from known
left join channels on channels.client_key = known.client_key
left join {{ ref('int_client_merges') }} as merges on merges.old_key = known.client_key
left join {{ ref('int_clients__requisites') }} as requisites on requisites.client_key = known.client_key
left join deals on deals.client_key = known.client_key
