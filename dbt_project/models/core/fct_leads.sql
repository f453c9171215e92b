-- One row per lead, deleted and test ones too.
with leads as (
    select * from {{ ref('int_leads__scoped') }}
),

links as (
    select * from {{ ref('int_client_links') }} where entity = 'lead'
),

channels as (
    select * from {{ ref('int_channel_resolved') }} where entity = 'lead'
),

responses as (
    select requests.lead_id, responses.first_response_at
    from {{ ref('int_requests') }} as requests
    inner join {{ ref('int_requests__first_response') }} as responses on responses.request_key = requests.request_key
    where requests.request_type = 'lead'
),

{% if var('qualified_lead_status_ids') -%}
qualified as (
    select distinct lead_id
    from {{ ref('stg_bitrix24__lead_stage_history') }}
    where {{ in_var_list('status_id', 'qualified_lead_status_ids') }}
    union
    select lead_id
    from leads
    where {{ in_var_list('status_id', 'qualified_lead_status_ids') }}
),

{% endif -%}
dated as (
    select
        *,
        coalesce({{ local_date('closed_at') }}, {{ as_of_date() }}) as rate_date
    from leads
)

select
    -- ids
    dated.lead_id,
    dated.title,
    dated.status_id,
    dated.manager_key,
    links.client_key,
    channels.channel_key,
    deals.converted_deal_id,
    deals.won_deal_id,

    -- dimensions
    dated.outcome,
    dated.source_id,
    dated.utm_source,
    dated.utm_medium,
    dated.utm_campaign,
    dated.utm_content,
    dated.utm_term,
    dated.currency,

    -- measures
    dated.amount,
    {{ to_rc('dated.amount', 'rates.rate_to_rc') }} as amount_rc,

    -- flags
    {% if var('qualified_lead_status_ids') -%}
    dated.outcome = 'converted' or qualified.lead_id is not null as is_qualified,
    {%- else -%}
    dated.outcome = 'converted' as is_qualified,
    {%- endif %}
    dated.is_return_customer as is_repeat,
    coalesce(dated.rate_date < rates.first_rate_date, false) as is_fx_approximate,
    dated.is_deleted,
    dated.is_in_scope,

    -- times
    responses.first_response_at,
    dated.closed_at,
    {{ local_date('dated.closed_at') }} as closed_date,
    dated.created_at,
    dated.created_date,
    dated.modified_at,
    dated.deleted_at,
    dated.loaded_at
from dated
inner join links on links.entity_id = dated.lead_id
inner join channels on channels.entity_id = dated.lead_id
left join {{ ref('int_deals__of_leads') }} as deals on deals.lead_id = dated.lead_id
left join responses on responses.lead_id = dated.lead_id
{%- if var('qualified_lead_status_ids') %}
left join qualified on qualified.lead_id = dated.lead_id
{%- endif %}
left join {{ ref('int_fx_rates__periods') }} as rates
    on rates.currency = dated.currency
    and dated.rate_date >= rates.valid_from
    and dated.rate_date < rates.valid_to
