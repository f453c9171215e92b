-- One row per lead born from an incoming call: a call bound to it that began at most 5 minutes before it (D12).
{% set window_seconds = 300 %}

with leads as (
    select lead_id, created_at from {{ ref('int_leads__scoped') }}
),

calls as (
    select call_id, portal_number, phone_hash, is_connected, started_at
    from {{ ref('int_calls__collapsed') }}
    where is_in_scope and direction = 'in'
),

-- a busy phone has thousands of calls: spans of the window's length keep the join from pairing them all
spans as (
    select 0 as span_shift
    union all
    select 1 as span_shift
),

calls_by_span as (
    select
        calls.*,
        cast(floor(epoch(calls.started_at) / {{ window_seconds }}) as bigint) + spans.span_shift as span_number
    from calls
    cross join spans
),

candidates as (
    select leads.lead_id, calls.call_id
    from leads
    inner join {{ ref('int_calls__bindings') }} as bindings
        on bindings.entity = 'lead' and bindings.entity_id = leads.lead_id
    inner join calls on calls.call_id = bindings.call_id

    union

    select leads.lead_id, calls_by_span.call_id
    from leads
    inner join {{ ref('int_leads__phones') }} as phones on phones.lead_id = leads.lead_id
    inner join calls_by_span
        on calls_by_span.phone_hash = phones.phone_hash
        and calls_by_span.span_number = cast(floor(epoch(leads.created_at) / {{ window_seconds }}) as bigint)
),

births as (
    select
        leads.lead_id,
        calls.portal_number,
        max(case when calls.is_connected then 1 else 0 end) over (partition by leads.lead_id) as connected_calls,
        row_number() over (partition by leads.lead_id order by calls.started_at desc, calls.call_id desc) as call_number
    from candidates
    inner join leads on leads.lead_id = candidates.lead_id
    inner join calls on calls.call_id = candidates.call_id
    where
        {{ seconds_between('calls.started_at', 'leads.created_at') }} between 0 and {{ window_seconds }}
        and calls.started_at <= leads.created_at
)

select
    lead_id,
    portal_number,
    connected_calls = 1 as is_from_connected_call
from births
where call_number = 1  -- the call nearest to the lead's creation names the line
