-- One row per answer of a client to a survey: a line of survey_answers.csv, or the field of var csat_field on a ticket.
{% set csat_field = (var('csat_field') or '') | upper -%}
with tickets as (
    select * from {{ ref('fct_support_tickets') }} where is_in_scope
),

deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

answers as (
    select
        'line ' || cast(line_number as varchar) as answer_key,
        answered_at,
        survey,
        score,
        ticket_id,
        deal_id,
        client_key,
        manager_key,
        loaded_at
    from {{ ref('stg_files__survey_answers') }}
    {%- if csat_field %}

    union all

    -- the field has no time of its own
    select
        'field ' || tickets.ticket_key as answer_key,
        coalesce(tickets.resolved_at, tickets.created_at) as answered_at,
        'csat' as survey,
        {{ to_int('fields.value') }} as score,
        tickets.ticket_key as ticket_id,
        cast(null as bigint) as deal_id,
        cast(null as varchar) as client_key,
        cast(null as bigint) as manager_key,
        tickets.loaded_at
    from tickets
    inner join {{ ref('int_tickets__fields') }} as fields
        on
            fields.entity_type_id = tickets.entity_type_id
            and fields.item_id = tickets.item_id
            and fields.field_code = {{ literal(csat_field) }}
    where {{ to_int('fields.value') }} between 1 and 5
    {%- endif %}
)

select
    -- ids
    answers.answer_key,
    tickets.ticket_key,
    coalesce(answers.deal_id, case when tickets.source_type = 'pipeline' then tickets.item_id end) as deal_id,
    coalesce(clients.client_key, tickets.client_key, deals.client_key, 'unknown') as client_key,
    coalesce(answers.manager_key, tickets.manager_key, deals.manager_key, 0) as manager_key,

    -- dimensions
    answers.survey,

    -- measures
    answers.score,

    -- times
    answers.answered_at,
    {{ local_date('answers.answered_at') }} as answered_date,
    answers.loaded_at

from answers
left join tickets on tickets.ticket_key = answers.ticket_id
left join deals on deals.deal_id = answers.deal_id
left join {{ ref('int_client_merges') }} as merges on merges.old_key = answers.client_key
left join {{ ref('dim_client') }} as clients on clients.client_key = coalesce(merges.new_key, answers.client_key)
