-- One row per answer given through an activity (D12): a completed meeting, outgoing call or e-mail is one, and each
-- message that an operator wrote in a chat of an open line.
with activities as (
    select * from {{ ref('fct_activities') }} where is_in_scope
),

-- the card of a call that reached nobody is no talk either
calls_in_vain as (
    select activity_id from {{ ref('fct_calls') }} where activity_id is not null and not is_connected
)

select activity_id, client_key, started_at as answered_at
from activities
where
    is_completed
    and started_at is not null
    and (activity_type = 'meeting' or (activity_type in ('call', 'email') and direction = 'out'))
    {%- if var('first_response_requires_connect') %}
    and activity_id not in (select activity_id from calls_in_vain)
    {%- endif %}

union all

select activities.activity_id, activities.client_key, messages.sent_at as answered_at
from activities
inner join {{ ref('int_openlines__sessions') }} as sessions on sessions.activity_id = activities.activity_id
inner join {{ ref('stg_bitrix24__openline_sessions') }} as messages on messages.session_id = sessions.session_id
where messages.sent_at is not null and {{ is_operators_message('messages') }}
