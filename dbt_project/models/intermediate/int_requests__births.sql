-- One row per request born from a conversation: a connected incoming call bound to it that began at most 5 minutes
-- before it was created (D12).
{{ config(materialized='table') }}

{% set window_seconds = 300 %}

with requests as (
    select
        request_key,
        case request_type when 'lead' then 1 else 2 end as owner_type_id,
        coalesce(lead_id, deal_id) as owner_id,
        lead_id,
        created_at
    from {{ ref('int_requests') }}
),

calls as (
    select call_id, portal_number, phone_hash, started_at
    from {{ ref('fct_calls') }}
    where is_in_scope and is_connected and direction = 'in'
),

-- a busy phone has thousands of calls: spans of the window's length keep the join from pairing them all. They are one
-- text with the phone, so that no engine joins by the span alone and pairs the calls of strangers
spans as (
    select 0 as span_shift
    union all
    select 1 as span_shift
),

calls_by_span as (
    select
        calls.call_id,
        calls.phone_hash || ' ' || cast(
            {{ span_number('calls.started_at', window_seconds) }} + spans.span_shift as varchar
        ) as phone_span
    from calls
    cross join spans
),

candidates as (
    select requests.request_key, calls.call_id
    from requests
    inner join {{ ref('int_calls__bindings') }} as bindings
        on bindings.owner_type_id = requests.owner_type_id and bindings.owner_id = requests.owner_id
    inner join calls on calls.call_id = bindings.call_id

    union

    select requests.request_key, calls_by_span.call_id
    from requests
    inner join {{ ref('int_leads__phones') }} as phones on phones.lead_id = requests.lead_id
    inner join calls_by_span
        on calls_by_span.phone_span
        = phones.phone_hash || ' ' || cast({{ span_number('requests.created_at', window_seconds) }} as varchar)
),

births as (
    select
        requests.request_key,
        requests.lead_id,
        calls.portal_number,
        row_number() over (partition by requests.request_key order by calls.started_at, calls.call_id) as call_number
    from candidates
    inner join requests on requests.request_key = candidates.request_key
    inner join calls on calls.call_id = candidates.call_id
    where
        calls.started_at <= requests.created_at
        and {{ seconds_between('calls.started_at', 'requests.created_at') }} <= {{ window_seconds }}
)

select request_key, lead_id, portal_number
from births
where call_number = 1
