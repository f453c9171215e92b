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

-- what an answer to the request may be bound to: its card, the deals made of it, its phones
request_bindings as (
    select request_key, created_at, request_type || ' ' || cast(coalesce(lead_id, deal_id) as varchar) as binding_key
    from requests

    union all

    select requests.request_key, requests.created_at, 'deal ' || cast(deals.deal_id as varchar) as binding_key
    from requests
    inner join deals on deals.lead_id = requests.lead_id

    union all

    select requests.request_key, requests.created_at, 'phone ' || phones.phone_hash as binding_key
    from requests
    inner join {{ ref('int_leads__phones') }} as phones on phones.lead_id = requests.lead_id
),

calls as (
    select call_id, phone_hash, started_at
    from {{ ref('fct_calls') }}
    where {{ is_answering_call() }}
),

activities as (
    select activity_id, started_at
    from {{ ref('fct_activities') }}
    where {{ is_answering_activity(ref('fct_calls')) }}
),

answers as (
    select bindings.entity || ' ' || cast(bindings.entity_id as varchar) as binding_key, calls.started_at
    from calls
    inner join {{ ref('int_calls__bindings') }} as bindings on bindings.call_id = calls.call_id

    union all

    select 'phone ' || phone_hash as binding_key, started_at
    from calls
    where phone_hash is not null

    union all

    select
        case bindings.owner_type_id when 1 then 'lead ' else 'deal ' end
        || cast(bindings.owner_id as varchar) as binding_key,
        activities.started_at
    from activities
    inner join {{ ref('bridge_activity_binding') }} as bindings on bindings.activity_id = activities.activity_id
    where bindings.owner_type_id in (1, 2)
),

{{ first_answers('request_bindings', 'request_key') }}

births as (
    select lead_id from {{ ref('int_leads__births') }}
)

select
    requests.request_key,
    case when births.lead_id is not null then requests.created_at else earliest.answered_at end as first_response_at
from requests
left join births on births.lead_id = requests.lead_id
left join earliest on earliest.request_key = requests.request_key
where births.lead_id is not null or earliest.answered_at is not null
