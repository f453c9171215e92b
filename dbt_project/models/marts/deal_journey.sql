-- One row per counted deal: what led to it, what was done for it, and how it went.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

leads as (
    select lead_id, created_at, created_date from {{ ref('fct_leads') }} where is_in_scope
),

requests as (
    select request_type, lead_id, deal_id, response_seconds from {{ ref('fct_requests') }} where is_in_scope
),

stays as (
    select * from {{ ref('fct_deal_stage_history') }} where is_in_scope
),

stage_paths as (
    select
        stays.deal_id,
        {{ path_of("coalesce(stages.name, '#' || stays.stage_id)", ['stays.entered_at', 'stays.interval_id']) }}
            as stage_path,
        {{ sum_count('stays.skipped_count') }} as skipped_stages,
        max(case when stays.is_current then stays.entered_at end) as entered_at
    from stays
    left join {{ ref('dim_stage') }} as stages
        on
            stages.entity = 'deal'
            and stages.pipeline_key = stays.pipeline_key
            and stages.stage_id = stays.stage_id
    group by stays.deal_id
),

calls as (
    select bindings.owner_id as deal_id, count(*) as calls_count
    from {{ ref('int_calls__bindings') }} as bindings
    inner join {{ ref('fct_calls') }} as calls on calls.call_id = bindings.call_id
    where bindings.owner_type_id = 2 and calls.is_in_scope
    group by bindings.owner_id
),

activities as (
    select
        bindings.owner_id as deal_id,
        {{ count_if("activities.activity_type = 'email'") }} as emails_count,
        {{ count_if("activities.activity_type = 'meeting'") }} as meetings_count
    from {{ ref('bridge_activity_binding') }} as bindings
    inner join {{ ref('fct_activities') }} as activities on activities.activity_id = bindings.activity_id
    where bindings.owner_type_id = 2 and activities.is_in_scope
    group by bindings.owner_id
)

select
    -- ids
    deals.deal_id,
    deals.pipeline_key,
    pipelines.name as pipeline_name,
    deals.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    deals.client_key,
    clients.name as client_name,
    deals.lead_id,

    -- what led to it
    deals.first_touch_channel_key,
    first_channels.name_ru as first_touch_channel_name,
    deals.last_touch_channel_key,
    last_channels.name_ru as last_touch_channel_name,
    touches.touch_path,
    touches.touches_count,
    leads.created_at as lead_created_at,
    round(
        cast(coalesce(lead_requests.response_seconds, deal_requests.response_seconds) as double) / 60, 2
    ) as first_response_minutes,

    -- how it went
    deals.created_at,
    stage_paths.stage_path,
    coalesce(calls.calls_count, 0) as calls_count,
    coalesce(activities.emails_count, 0) as emails_count,
    coalesce(activities.meetings_count, 0) as meetings_count,
    -- a closed deal waits in no stage
    case
        when deals.outcome = 'open'
            then round(
                cast(
                    {{ seconds_between('coalesce(stage_paths.entered_at, deals.moved_at)', as_of()) }} as double
                ) / 86400,
                2
            )
    end as days_in_stage,
    deals.closed_at,
    deals.outcome,
    deals.amount_rc,
    deals.revenue_rc,
    deals.cycle_days,
    {{ days_between('coalesce(leads.created_date, deals.created_date)', 'deals.won_date') }} as request_to_won_days,
    coalesce(idle.is_stale, false) as is_stale,
    deals.reopen_count,
    coalesce(stage_paths.skipped_stages, 0) as skipped_stages
from deals
inner join {{ ref('int_deals__touches') }} as touches on touches.deal_id = deals.deal_id
left join leads on leads.lead_id = deals.lead_id
left join requests as lead_requests
    on lead_requests.request_type = 'lead' and lead_requests.lead_id = leads.lead_id
left join requests as deal_requests
    on deal_requests.request_type = 'deal' and deal_requests.deal_id = deals.deal_id
left join stage_paths on stage_paths.deal_id = deals.deal_id
left join calls on calls.deal_id = deals.deal_id
left join activities on activities.deal_id = deals.deal_id
left join {{ ref('int_deals__idle') }} as idle on idle.deal_id = deals.deal_id
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = deals.pipeline_key
left join {{ ref('dim_manager') }} as managers on managers.manager_key = deals.manager_key
left join {{ ref('dim_client') }} as clients on clients.client_key = deals.client_key
left join {{ ref('dim_channel') }} as first_channels on first_channels.channel_key = deals.first_touch_channel_key
left join {{ ref('dim_channel') }} as last_channels on last_channels.channel_key = deals.last_touch_channel_key
