-- One row per lead born from a conversation: a connected incoming call bound to it that began at most 5 minutes
-- before it was created (D12).
{{ config(materialized='table') }}

{% set window_seconds = 300 %}

with leads as (
    select lead_id, created_at from {{ ref('int_leads__scoped') }}
),

calls as (
    select call_id, portal_number, phone_hash, started_at
    from {{ ref('fct_calls') }}
    where is_in_scope and is_connected and direction = 'in'
),

-- a busy phone has thousands of calls: spans of the window's length keep the join from pairing them all
spans as (
    select 0 as span_shift
    union all
    select 1 as span_shift
),

calls_by_span as (
    select
        calls.call_id,
        calls.phone_hash,
        {{ span_number('calls.started_at', window_seconds) }} + spans.span_shift as span_number
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
        and calls_by_span.span_number = {{ span_number('leads.created_at', window_seconds) }}
),

births as (
    select
        leads.lead_id,
        calls.portal_number,
        row_number() over (partition by leads.lead_id order by calls.started_at, calls.call_id) as call_number
    from candidates
    inner join leads on leads.lead_id = candidates.lead_id
    inner join calls on calls.call_id = candidates.call_id
    where
        calls.started_at <= leads.created_at
        and {{ seconds_between('calls.started_at', 'leads.created_at') }} <= {{ window_seconds }}
)

select lead_id, portal_number
from births
where call_number = 1
