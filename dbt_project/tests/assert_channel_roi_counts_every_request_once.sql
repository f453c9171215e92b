-- Leads of each attribution model and date basis of channel_roi are the in-scope requests up to the running month; by
-- default, leads (C13).
{% set not_later = month_of('created_date') ~ ' <= ' ~ month_of(as_of_date()) %}
with marts as (
    select attribution_model, date_basis, sum(leads) as leads
    from {{ ref('channel_roi') }}
    group by attribution_model, date_basis
),

requests as (
    select count(*) as leads from {{ ref('fct_requests') }} where is_in_scope and {{ not_later }}
),

leads as (
    select count(*) as leads from {{ ref('fct_leads') }} where is_in_scope and {{ not_later }}
)

select marts.*, requests.leads as fact_requests, leads.leads as fact_leads
from marts
cross join requests
cross join leads
where
    marts.leads <> requests.leads
    {%- if var('lead_mode') == 'leads' %}
    or marts.leads <> leads.leads
    {%- endif %}
