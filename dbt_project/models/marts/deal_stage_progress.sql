-- One row per counted deal and stage of its present pipeline's path: stages in work and the success stage.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

progress as (
    select * from {{ ref('int_deals__progress') }}
),

path as (
    select * from {{ ref('int_stages__positions') }} where entity = 'deal' and is_path_owner
),

stays as (
    select
        visits.deal_id,
        visits.stage_position,
        count(*) as visits,
        {{ sum_count('visits.duration_seconds') }} as stay_seconds,
        {{ count_if('visits.left_at is null') }} > 0 as has_open_stay,
        min(visits.entered_at) as first_entered_at

    from {{ ref('fct_deal_stage_history') }} as visits
    inner join deals on deals.deal_id = visits.deal_id and deals.pipeline_key = visits.pipeline_key
    where visits.stage_position is not null
    group by visits.deal_id, visits.stage_position
),

placed as (
    select
        deals.deal_id,
        deals.pipeline_key,
        path.stage_id,
        coalesce(path.name, '#' || path.stage_id) as stage_name,
        path.semantics,
        path.stage_position,
        {{ month_of('deals.created_date') }} as cohort_month,
        deals.manager_key,
        deals.last_touch_channel_key as channel_key,
        deals.deal_type,
        deals.main_product_key,
        deals.client_key,
        deals.is_repeat_sale,
        deals.amount_rc,
        deals.outcome,
        progress.progress_position >= path.stage_position as is_reached,
        case
            when path.semantics = 'S' then deals.outcome = 'won'
            else stays.deal_id is not null or coalesce(progress.current_position = path.stage_position, false)
        end as is_visited,
        deals.outcome = 'open' and progress.progress_position = path.stage_position as is_open_progress,
        deals.outcome = 'lost' and progress.progress_position = path.stage_position as is_lost_progress,
        coalesce(progress.current_position = path.stage_position, false) as is_open_actual,
        coalesce(progress.lost_from_position = path.stage_position, false) as is_lost_actual,
        coalesce(stays.visits, 0) as visits,
        coalesce(stays.stay_seconds, 0) as stay_seconds,
        coalesce(stays.has_open_stay, false) as has_open_stay,
        stays.first_entered_at

    from deals
    inner join progress on progress.deal_id = deals.deal_id
    inner join path on path.pipeline_key = deals.pipeline_key
    left join stays on stays.deal_id = deals.deal_id and stays.stage_position = path.stage_position
)

select
    placed.deal_id,
    placed.pipeline_key,
    pipelines.name as pipeline_name,
    placed.stage_id,
    placed.stage_name,
    placed.stage_position,
    placed.cohort_month,
    placed.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    placed.channel_key,
    channels.name_ru as channel_name_ru,
    placed.deal_type,
    placed.main_product_key,
    placed.client_key,
    placed.is_repeat_sale,
    placed.amount_rc,
    placed.outcome,
    placed.is_reached,
    placed.is_visited,
    placed.is_reached and not placed.is_visited as is_skipped,
    placed.is_open_progress,
    placed.is_lost_progress,
    placed.is_open_actual,
    placed.is_lost_actual,
    placed.visits,
    placed.stay_seconds,
    placed.has_open_stay,
    placed.first_entered_at

from placed
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = placed.pipeline_key
left join {{ ref('dim_manager') }} as managers on managers.manager_key = placed.manager_key
left join {{ ref('dim_channel') }} as channels on channels.channel_key = placed.channel_key
