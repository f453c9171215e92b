-- One row per answered ticket of a smart process or a pipeline: when we first answered it (D12). What counts as an
-- answer is bound to the ticket's own card or to its client. Open lines are answered in the chat, see int_tickets.
{{ config(materialized='table') }}

with tickets as (
    select * from {{ ref('int_tickets') }} where source_type in ('process', 'pipeline')
),

ticket_bindings as (
    select
        ticket_key,
        created_at,
        'card ' || cast(entity_type_id as varchar) || ' ' || cast(item_id as varchar) as binding_key
    from tickets

    union all

    select ticket_key, created_at, 'client ' || client_key as binding_key
    from tickets
    where client_key <> 'unknown'
),

calls as (
    select call_id, client_key, started_at as answered_at
    from {{ ref('fct_calls') }}
    where {{ is_answering_call() }}
),

activities as (
    select * from {{ ref('int_activities__answers') }}
),

actions as (
    select 'client ' || client_key as binding_key, answered_at from calls where client_key <> 'unknown'

    union all

    select
        'card ' || cast(bindings.owner_type_id as varchar) || ' ' || cast(bindings.owner_id as varchar) as binding_key,
        calls.answered_at
    from calls
    inner join {{ ref('int_calls__bindings') }} as bindings on bindings.call_id = calls.call_id

    union all

    select 'client ' || client_key as binding_key, answered_at from activities where client_key <> 'unknown'

    union all

    select
        'card ' || cast(bindings.owner_type_id as varchar) || ' ' || cast(bindings.owner_id as varchar) as binding_key,
        activities.answered_at
    from activities
    inner join {{ ref('bridge_activity_binding') }} as bindings on bindings.activity_id = activities.activity_id
),

answers as (
    select actions.binding_key, actions.answered_at
    from actions
    inner join (select distinct binding_key from ticket_bindings) as wanted
        on wanted.binding_key = actions.binding_key
),

{{ first_answers('ticket_bindings', 'ticket_key') }}

answered as (
    select ticket_key, answered_at as first_response_at from earliest where answered_at is not null
)

select * from answered
