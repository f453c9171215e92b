-- One row per inbound request: a lead, and in lead_mode 'requests' also a deal that came without a lead.
{{ only_supported('lead_mode', ['leads', 'requests']) }}
with leads as (
    select * from {{ ref('int_leads__scoped') }}
)

{% if var('lead_mode') == 'requests' -%}
, deals as (
    select * from {{ ref('int_deals__scoped') }}
),

visible_leads as (
    select lead_id from leads where is_in_scope
)
{%- endif %}

select
    'L' || cast(lead_id as varchar) as request_key,
    'lead' as request_type,
    lead_id,
    cast(null as bigint) as deal_id,
    created_at
from leads

{% if var('lead_mode') == 'requests' -%}
union all

select
    'D' || cast(deals.deal_id as varchar) as request_key,
    'deal' as request_type,
    cast(null as bigint) as lead_id,
    deals.deal_id,
    deals.created_at
from deals
left join visible_leads on visible_leads.lead_id = deals.lead_id
where deals.is_in_scope and visible_leads.lead_id is null
{%- endif %}
