-- One row per month, deals or leads, pipeline, stage they were lost from, failure stage, reason, manager and channel.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope and outcome = 'lost'
),

leads as (
    select * from {{ ref('fct_leads') }} where is_in_scope and outcome = 'junk' and closed_date is not null
),

stages as (
    select * from {{ ref('dim_stage') }}
),

path as (
    select * from {{ ref('int_stages__positions') }} where is_path_owner
),

-- the last status in work that a lead stood in
lead_steps as (
    select
        lead_id,
        stage_position,
        row_number() over (partition by lead_id order by entered_at desc, interval_id desc) as place_from_end
    from {{ ref('fct_lead_status_history') }}
    where semantics = 'P' and stage_position is not null
),

reasons as (
    select * from {{ ref('int_loss_reasons') }} where entity = 'lead'
),

losses as (
    select
        'deal' as entity,
        lost_date,
        pipeline_key,
        lost_from_position,
        stage_id,
        loss_reason,
        manager_key,
        last_touch_channel_key as channel_key,
        amount_rc,
        {{ days_between('created_date', 'lost_date') }} as days_to_loss
    from deals

    union all

    select
        'lead' as entity,
        leads.closed_date as lost_date,
        0 as pipeline_key,
        coalesce(lead_steps.stage_position, 1) as lost_from_position,
        leads.status_id as stage_id,
        reasons.loss_reason,
        leads.manager_key,
        leads.channel_key,
        leads.amount_rc,
        {{ days_between('leads.created_date', 'leads.closed_date') }} as days_to_loss
    from leads
    left join lead_steps on lead_steps.lead_id = leads.lead_id and lead_steps.place_from_end = 1
    left join reasons on reasons.entity_id = leads.lead_id
),

described as (
    select
        {{ month_of('losses.lost_date') }} as period_month,
        losses.entity,
        losses.pipeline_key,
        -- a pipeline that the portal never listed has no path
        coalesce(path.stage_id, 'unknown') as lost_from_stage,
        coalesce(path.name, '#' || path.stage_id, 'Не определено') as lost_from_stage_name,
        losses.stage_id,
        coalesce(stages.name, '#' || losses.stage_id) as stage_name,
        coalesce(losses.loss_reason, stages.name, '#' || losses.stage_id) as loss_reason,
        losses.manager_key,
        losses.channel_key,
        losses.amount_rc,
        losses.days_to_loss
    from losses
    left join path
        on path.entity = losses.entity
        and path.pipeline_key = losses.pipeline_key
        and path.stage_position = losses.lost_from_position
    left join stages
        on stages.entity = losses.entity
        and stages.pipeline_key = losses.pipeline_key
        and stages.stage_id = losses.stage_id
),

counted as (
    select
        period_month,
        entity,
        pipeline_key,
        lost_from_stage,
        lost_from_stage_name,
        stage_id,
        stage_name,
        loss_reason,
        manager_key,
        channel_key,
        count(*) as deals_lost,
        {{ sum_money('amount_rc') }} as lost_amount,
        {{ sum_count('days_to_loss') }} as days_to_loss_sum
    from described
    where period_month <= {{ month_of(as_of_date()) }}
    group by
        period_month, entity, pipeline_key, lost_from_stage, lost_from_stage_name, stage_id, stage_name, loss_reason,
        manager_key, channel_key
)

select
    counted.period_month,
    counted.entity,
    counted.pipeline_key,
    case when counted.entity = 'lead' then 'Лиды' else pipelines.name end as pipeline_name,
    counted.lost_from_stage,
    counted.lost_from_stage_name,
    counted.stage_id,
    counted.stage_name,
    counted.loss_reason,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.channel_key,
    channels.name_ru as channel_name_ru,
    counted.deals_lost,
    counted.lost_amount,
    counted.days_to_loss_sum
from counted
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = counted.pipeline_key
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
left join {{ ref('dim_channel') }} as channels on channels.channel_key = counted.channel_key
