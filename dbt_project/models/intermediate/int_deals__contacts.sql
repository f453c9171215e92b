-- One row per deal and contact of it.
with listed as (
    select
        deal_id,
        {{ to_id('element') }} as contact_id
    from (
        select deal_id, unnest({{ json_elements('contact_ids') }}) as element
        from {{ ref('stg_bitrix24__deal_contacts') }}
    ) as elements
),

primary_contacts as (
    select deal_id, contact_id from {{ ref('int_deals__scoped') }} where contact_id is not null
),

pairs as (
    select deal_id, contact_id from listed where contact_id is not null
    union
    select deal_id, contact_id from primary_contacts
)

select
    pairs.deal_id,
    pairs.contact_id,
    primary_contacts.deal_id is not null as is_primary

from pairs
left join primary_contacts
    on primary_contacts.deal_id = pairs.deal_id and primary_contacts.contact_id = pairs.contact_id
