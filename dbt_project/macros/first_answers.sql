{# Which calls and activities answer somebody (D12): one rule for requests and tickets. #}
{% macro is_answering_call() -%}
    is_in_scope and direction = 'out' and started_at is not null
    {%- if var('first_response_requires_connect') %} and is_connected {%- endif %}
{%- endmacro %}

{# A message of a chat that a person of ours wrote: not the client, a bot or the system. #}
{% macro is_operators_message(messages) -%}
    not {{ messages }}.is_deleted and not {{ messages }}.is_client and not {{ messages }}.is_bot
    and {{ messages }}.sender_id is not null
{%- endmacro %}

{# CTEs up to `earliest`: the first answer at or after each request, by any of its bindings. Goes on after the CTEs `answers`
   (binding_key, answered_at) and `bindings` (binding_key, created_at and the request's key). #}
{% macro first_answers(bindings, key) -%}
-- requests and answers of one binding on one line of time, so that no request is paired with every answer
timeline as (
    select binding_key, created_at as happened_at, 0 as is_answer, {{ key }} from {{ bindings }}
    union all
    select binding_key, answered_at as happened_at, 1 as is_answer, cast(null as varchar) as {{ key }} from answers
),

next_answers as (
    select
        {{ key }},
        min(case when is_answer = 1 then happened_at end) over (
            partition by binding_key
            order by happened_at, is_answer
            rows between current row and unbounded following
        ) as answered_at
    from timeline
),

earliest as (
    select {{ key }}, min(answered_at) as answered_at
    from next_answers
    where {{ key }} is not null
    group by {{ key }}
),
{%- endmacro %}
