-- One row per support ticket, deleted ones too.
{{ only_supported('response_clock', ['calendar', 'working']) }}
with tickets as (
    select
        tickets.*,
        coalesce(tickets.answered_at, responses.first_response_at) as first_response_at
    from {{ ref('int_tickets') }} as tickets
    left join {{ ref('int_tickets__first_response') }} as responses on responses.ticket_key = tickets.ticket_key
),

-- tickets and their solutions on one line of time for each client and topic
timeline as (
    select client_key, topic, created_at as happened_at, 0 as is_solution, ticket_key
    from tickets
    where is_in_scope and client_key <> 'unknown'

    union all

    select client_key, topic, resolved_at as happened_at, 1 as is_solution, ticket_key
    from tickets
    where is_in_scope and client_key <> 'unknown' and resolved_at is not null
),

next_tickets as (
    select
        ticket_key,
        is_solution,
        min(case when is_solution = 0 then happened_at end) over (
            partition by client_key, topic
            order by happened_at, is_solution, ticket_key
            rows between 1 following and unbounded following
        ) as asked_again_at
    from timeline
),

asked_again as (
    select ticket_key, asked_again_at from next_tickets where is_solution = 1 and asked_again_at is not null
)

{%- if var('response_clock') == 'working' %},

workdays as (
    {{ workdays() }}
)
{%- endif %}

select
    -- ids
    tickets.ticket_key,
    tickets.source_type,
    tickets.entity_type_id,
    tickets.item_id,
    tickets.client_key,
    tickets.manager_key,
    tickets.channel_key,

    -- dimensions
    tickets.topic,

    -- measures
    {% if var('response_clock') == 'calendar' -%}
    {{ seconds_between('tickets.created_at', 'tickets.first_response_at') }} as response_seconds,
    {%- else -%}
    cast(
        {{ working_seconds('tickets.first_response_at', 'answer_days') }}
        - {{ working_seconds('tickets.created_at', 'ticket_days') }} as bigint
    ) as response_seconds,
    {%- endif %}
    {{ seconds_between('tickets.created_at', 'tickets.resolved_at') }} as resolution_seconds,
    tickets.reopen_count,

    -- flags
    tickets.resolved_at is not null
    and tickets.reopen_count = 0
    and not coalesce(
        asked_again.asked_again_at <= {{ shift_hours('tickets.resolved_at', 24 * var('fcr_window_days')) }}, false
    ) as is_fcr,
    tickets.is_deleted,
    tickets.is_in_scope,

    -- times
    tickets.first_response_at,
    tickets.resolved_at,
    {{ local_date('tickets.resolved_at') }} as resolved_date,
    tickets.closed_at,
    {{ local_date('tickets.closed_at') }} as closed_date,
    tickets.created_at,
    {{ local_date('tickets.created_at') }} as created_date,
    tickets.modified_at,
    tickets.deleted_at,
    tickets.loaded_at

from tickets
left join asked_again on asked_again.ticket_key = tickets.ticket_key
{%- if var('response_clock') == 'working' %}
left join workdays as ticket_days on ticket_days.date_day = {{ local_date('tickets.created_at') }}
left join workdays as answer_days on answer_days.date_day = {{ local_date('tickets.first_response_at') }}
{%- endif %}
