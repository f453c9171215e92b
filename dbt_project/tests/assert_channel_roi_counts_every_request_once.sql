-- Leads of each attribution model and date basis of channel_roi are the in-scope requests up to the running month; by
-- default, leads (C13).
{% set not_later = month_of('created_date') ~ ' <= ' ~ month_of(as_of_date()) %}
with pairs as (
    select 'first_touch' as attribution_model, 'cohort' as date_basis
    union all
    select 'first_touch', 'event'
    union all
    select 'last_touch', 'cohort'
    union all
    select 'last_touch', 'event'
),

-- a pair that the mart lacks tells 0
marts as (
    select pairs.attribution_model, pairs.date_basis, coalesce(sum(mart.leads), 0) as leads
    from pairs
    left join {{ ref('channel_roi') }} as mart
        on mart.attribution_model = pairs.attribution_model and mart.date_basis = pairs.date_basis
    group by pairs.attribution_model, pairs.date_basis
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
