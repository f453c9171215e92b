{{ config(materialized='table') }}
-- One row per deal, deleted ones too: how far it came in its present pipeline.
{{ only_supported('funnel_pipeline_rule', ['current']) }}
with deals as (
    select * from {{ ref('int_deals__scoped') }}
),

visits as (
    select * from {{ ref('int_deals__stage_visits') }}
),

histories as (
    select
        deal_id,
        {{ count_if('is_reopen') }} as reopen_count

    from visits
    group by deal_id
),

-- stays in the pipeline the deal is in now
own_visits as (
    select
        visits.deal_id,
        visits.stage_position,
        row_number() over (
            partition by visits.deal_id, visits.semantics = 'P' and visits.stage_position is not null
            order by visits.entered_at desc, visits.interval_id desc
        ) as place_from_end,
        visits.semantics = 'P' and visits.stage_position is not null as is_step

    from visits
    inner join deals on deals.deal_id = visits.deal_id and deals.pipeline_key = visits.pipeline_key
),

furthest as (
    select
        deal_id,
        max(stage_position) as stage_position,
        max(case when is_step and place_from_end = 1 then stage_position end) as last_step_position

    from own_visits
    group by deal_id
),

placed as (
    select
        deals.deal_id,
        deals.outcome,
        pipelines.path_stage_count,
        case when deals.outcome = 'open' then coalesce(stages.stage_position, 1) end as current_position,
        furthest.stage_position as furthest_position,
        furthest.last_step_position,
        coalesce(histories.reopen_count, 0) as reopen_count,
        histories.deal_id is not null as has_history

    from deals
    inner join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = deals.pipeline_key
    left join {{ ref('dim_stage') }} as stages
        on
            stages.entity = 'deal'
            and stages.pipeline_key = deals.pipeline_key
            and stages.stage_id = deals.stage_id
    left join furthest on furthest.deal_id = deals.deal_id
    left join histories on histories.deal_id = deals.deal_id
)

select
    deal_id,
    current_position,
    case
        when outcome = 'won' then path_stage_count + 1
        -- a deal once won and reopened has passed every stage in work, but not the success stage
        else greatest(
            least(greatest(coalesce(furthest_position, 0), coalesce(current_position, 0)), path_stage_count),
            1
        )
    end as progress_position,
    case when outcome = 'lost' then coalesce(last_step_position, 1) end as lost_from_position,
    reopen_count,
    has_history

from placed
