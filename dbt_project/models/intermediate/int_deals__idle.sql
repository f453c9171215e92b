-- One row per open in-scope deal: days since anything happened in it, and whether that is too long for its stage.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope and outcome = 'open'
),

stays as (
    select * from {{ ref('fct_deal_stage_history') }} where is_in_scope
),

current_stays as (
    select deal_id, entered_at from stays where is_current
),

usual_stays as (
    select
        pipeline_key,
        stage_id,
        {{ median('duration_seconds') }} / 86400 as median_stage_days
    from stays
    where
        left_at > {{ shift_hours(as_of(), -24 * 365) }}
        and left_at <= {{ as_of() }}
    group by pipeline_key, stage_id
),

idle as (
    select
        deals.deal_id,
        usual_stays.median_stage_days,
        {{ days_between(
            local_date('greatest(coalesce(current_stays.entered_at, deals.moved_at, deals.last_activity_at),'
                ~ ' coalesce(deals.last_activity_at, current_stays.entered_at, deals.moved_at))'),
            as_of_date()
        ) }} as idle_days
    from deals
    left join current_stays on current_stays.deal_id = deals.deal_id
    left join usual_stays
        on usual_stays.pipeline_key = deals.pipeline_key and usual_stays.stage_id = deals.stage_id
)

select
    deal_id,
    idle_days,
    median_stage_days,
    coalesce(
        idle_days > greatest(
            {{ var('stale_min_days') }}, coalesce({{ var('stale_multiplier') }} * median_stage_days, 0)
        ),
        false
    ) as is_stale
from idle
