-- One row per day of creation, channel, campaign and manager with a lead. What became of the leads is told as of now.
with leads as (
    select *
    from {{ ref('fct_leads') }}
    where is_in_scope and {{ month_of('created_date') }} <= {{ month_of(as_of_date()) }}
),

responses as (
    select lead_id, response_seconds
    from {{ ref('fct_requests') }}
    where request_type = 'lead'
),

won_deals as (
    select deal_id, won_date
    from {{ ref('fct_deals') }}
    where is_in_scope and outcome = 'won' and lead_id is not null
),

sales as (
    select lead_id, sum(revenue_rc) as revenue_rc
    from {{ ref('fct_deals') }}
    where is_in_scope and lead_id is not null
    group by lead_id
),

counted as (
    select
        leads.created_date as date_day,
        leads.channel_key,
        coalesce(leads.utm_campaign, '') as utm_campaign,
        leads.manager_key,
        count(*) as leads,
        {{ count_if('leads.is_repeat') }} as leads_repeat,
        {{ count_if("leads.outcome = 'open'") }} as leads_open,
        {{ count_if("leads.outcome = 'junk'") }} as leads_junk,
        {{ count_if("leads.outcome = 'converted'") }} as leads_converted,
        {{ count_if('leads.is_qualified') }} as leads_qualified,
        {{ count_if('leads.converted_deal_id is not null') }} as leads_with_deal,
        {{ count_if('leads.won_deal_id is not null') }} as leads_with_won,
        {{ sum_money('sales.revenue_rc') }} as revenue,
        count(responses.response_seconds) as requests_answered,
        {{ sum_count('responses.response_seconds') }} as response_seconds_sum,
        {{ sum_count(seconds_between('leads.created_at', 'leads.closed_at')) }} as close_seconds_sum,
        count(leads.closed_at) as leads_closed,
        {{ sum_count(days_between('leads.created_date', 'won_deals.won_date')) }} as request_to_won_days_sum
    from leads
    left join responses on responses.lead_id = leads.lead_id
    left join sales on sales.lead_id = leads.lead_id
    -- the earliest of them
    left join won_deals on won_deals.deal_id = leads.won_deal_id
    group by leads.created_date, leads.channel_key, coalesce(leads.utm_campaign, ''), leads.manager_key
)

select
    counted.date_day,
    counted.channel_key,
    channels.name_ru as channel_name_ru,
    counted.utm_campaign,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.leads,
    counted.leads_repeat,
    counted.leads_open,
    counted.leads_junk,
    counted.leads_converted,
    counted.leads_qualified,
    counted.leads_with_deal,
    counted.leads_with_won,
    counted.revenue,
    counted.requests_answered,
    round(cast(counted.response_seconds_sum as double) / 60, 2) as first_response_minutes_sum,
    {{ hours('counted.close_seconds_sum') }} as lead_close_hours_sum,
    counted.leads_closed,
    counted.request_to_won_days_sum,
    {{ ratio('counted.leads_junk', 'counted.leads') }} as junk_rate,
    {{ ratio('counted.leads_qualified', 'counted.leads') }} as qualified_rate,
    {{ ratio('counted.leads_with_deal', 'counted.leads') }} as lead_to_deal,
    {{ ratio('counted.leads_with_won', 'counted.leads') }} as lead_to_won
from counted
left join {{ ref('dim_channel') }} as channels on channels.channel_key = counted.channel_key
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
