-- One row per client with requisites: its tax number, and its city by their addresses.
with requisites as (
    select
        case owner_type_id
            when 4 then {{ company_client_key('owner_id') }}
            when 3 then {{ contact_client_key('owner_id') }}
        end as client_key,
        inn,
        row_number() over (
            partition by owner_type_id, owner_id
            order by case when is_active then 0 else 1 end, sort, requisite_id
        ) as place
    from {{ ref('stg_bitrix24__requisites') }}
    where not is_deleted and inn is not null and owner_type_id in (3, 4) and owner_id is not null
),

-- an address belongs to requisites, and names the client behind them; on old portals it is the client's own
anchored as (
    select
        case when owner_type_id in (3, 4) then owner_type_id else client_type_id end as client_type_id,
        case when owner_type_id in (3, 4) then owner_id else client_id end as client_id,
        owner_id,
        address_type_id,
        city
    from {{ ref('stg_bitrix24__addresses') }}
    where not is_deleted and city is not null
),

cities as (
    select
        case client_type_id
            when 4 then {{ company_client_key('client_id') }}
            when 3 then {{ contact_client_key('client_id') }}
        end as client_key,
        city,
        row_number() over (
            partition by client_type_id, client_id
            -- where goods go, then the legal one, then any other
            order by case address_type_id when 11 then 0 when 6 then 1 else 2 end, address_type_id, owner_id
        ) as place
    from anchored
    where client_type_id in (3, 4) and client_id is not null
)

select
    coalesce(requisites.client_key, cities.client_key) as client_key,
    requisites.inn,
    cities.city
from (select * from requisites where place = 1) as requisites
full outer join (select * from cities where place = 1) as cities on cities.client_key = requisites.client_key
