-- One row per inbound request: a lead, and in lead_mode 'requests' also a deal that came without a lead.
{{ only_supported('response_clock', ['calendar', 'working']) }}
with requests as (
    select * from {{ ref('int_requests') }}
),

leads as (
    select * from {{ ref('fct_leads') }}
),

{% if var('lead_mode') == 'requests' -%}
deals as (
    select * from {{ ref('fct_deals') }}
),

{% endif -%}
described as (
    select
        requests.request_key,
        requests.request_type,
        requests.lead_id,
        leads.converted_deal_id as deal_id,
        leads.won_deal_id,
        leads.manager_key,
        leads.channel_key,
        leads.client_key,
        leads.is_repeat,
        leads.is_qualified,
        leads.outcome = 'junk' as is_junk,
        leads.is_deleted,
        leads.is_in_scope,
        leads.created_at,
        leads.created_date
    from requests
    inner join leads on leads.lead_id = requests.lead_id
    where requests.request_type = 'lead'

    {%- if var('lead_mode') == 'requests' %}

    union all

    -- a request that was at once a deal is qualified by that
    select
        requests.request_key,
        requests.request_type,
        cast(null as bigint) as lead_id,
        deals.deal_id,
        case when deals.outcome = 'won' then deals.deal_id end as won_deal_id,
        deals.manager_key,
        deals.channel_key,
        deals.client_key,
        deals.is_return_customer_b24 as is_repeat,
        true as is_qualified,
        false as is_junk,
        deals.is_deleted,
        deals.is_in_scope,
        deals.created_at,
        deals.created_date
    from requests
    inner join deals on deals.deal_id = requests.deal_id
    where requests.request_type = 'deal'
    {%- endif %}
),

answered as (
    select described.*, responses.first_response_at
    from described
    left join {{ ref('int_requests__first_response') }} as responses on responses.request_key = described.request_key
)

{%- if var('response_clock') == 'working' %},

workdays as (
    {{ workdays() }}
)
{%- endif %}

select
    -- ids
    answered.request_key,
    answered.request_type,
    answered.lead_id,
    answered.deal_id,
    answered.won_deal_id,
    answered.manager_key,
    answered.channel_key,
    answered.client_key,

    -- measures
    {% if var('response_clock') == 'calendar' -%}
    {{ seconds_between('answered.created_at', 'answered.first_response_at') }} as response_seconds,
    {%- else -%}
    cast(
        {{ working_seconds('answered.first_response_at', 'answer_days') }}
        - {{ working_seconds('answered.created_at', 'request_days') }} as bigint
    ) as response_seconds,
    {%- endif %}

    -- flags
    answered.is_repeat,
    answered.is_qualified,
    answered.is_junk,
    answered.is_deleted,
    answered.is_in_scope,

    -- times
    answered.first_response_at,
    answered.created_at,
    answered.created_date
from answered
{%- if var('response_clock') == 'working' %}
left join workdays as request_days on request_days.date_day = answered.created_date
left join workdays as answer_days on answer_days.date_day = {{ local_date('answered.first_response_at') }}
{%- endif %}
