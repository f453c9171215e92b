-- One row per answered request: when we first answered it (D12).
{{ config(materialized='table') }}

with requests as (
    select * from {{ ref('int_requests') }}
),

deals as (
    select deal_id, lead_id
    from {{ ref('int_deals__scoped') }}
    where is_in_scope
),

-- what an answer to the request may be bound to: its card (1 lead, 2 deal), the deals made of it, its phones
request_bindings as (
    select
        request_key,
        created_at,
        case request_type when 'lead' then '1 ' else '2 ' end || cast(coalesce(lead_id, deal_id) as varchar)
            as binding_key
    from requests

    union all

    select requests.request_key, requests.created_at, '2 ' || cast(deals.deal_id as varchar) as binding_key
    from requests
    inner join deals on deals.lead_id = requests.lead_id

    union all

    select requests.request_key, requests.created_at, 'phone ' || phones.phone_hash as binding_key
    from requests
    inner join {{ ref('int_leads__phones') }} as phones on phones.lead_id = requests.lead_id
),

calls as (
    select call_id, phone_hash, started_at as answered_at
    from {{ ref('fct_calls') }}
    where {{ is_answering_call() }}
),

answers as (
    select
        cast(bindings.owner_type_id as varchar) || ' ' || cast(bindings.owner_id as varchar) as binding_key,
        calls.answered_at
    from calls
    inner join {{ ref('int_calls__bindings') }} as bindings on bindings.call_id = calls.call_id
    where bindings.owner_type_id in (1, 2)

    union all

    select 'phone ' || phone_hash as binding_key, answered_at
    from calls
    where phone_hash is not null

    union all

    select
        cast(bindings.owner_type_id as varchar) || ' ' || cast(bindings.owner_id as varchar) as binding_key,
        activities.answered_at
    from {{ ref('int_activities__answers') }} as activities
    inner join {{ ref('bridge_activity_binding') }} as bindings on bindings.activity_id = activities.activity_id
    where bindings.owner_type_id in (1, 2)
),

{{ first_answers('request_bindings', 'request_key') }}

births as (
    select request_key from {{ ref('int_requests__births') }}
)

select
    requests.request_key,
    case when births.request_key is not null then requests.created_at else earliest.answered_at end as first_response_at
from requests
left join births on births.request_key = requests.request_key
left join earliest on earliest.request_key = requests.request_key
where births.request_key is not null or earliest.answered_at is not null
