-- One row per counted deal and stage of its present pipeline's path: stages in work and the success stage.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
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

-- names are looked up once per deal, not once per stage
named as (
    select
        deals.*,
        {{ month_of('deals.created_date') }} as cohort_month,
        pipelines.name as pipeline_name,
        managers.full_name as manager_name,
        managers.department_name,
        channels.name_ru as channel_name_ru,
        progress.progress_position,
        progress.current_position,
        progress.lost_from_position as lost_position

    from deals
    inner join {{ ref('int_deals__progress') }} as progress on progress.deal_id = deals.deal_id
    left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = deals.pipeline_key
    left join {{ ref('dim_manager') }} as managers on managers.manager_key = deals.manager_key
    left join {{ ref('dim_channel') }} as channels on channels.channel_key = deals.last_touch_channel_key
),

placed as (
    select
        named.*,
        path.stage_id as path_stage_id,
        path.stage_position,
        coalesce(path.name, '#' || path.stage_id) as stage_name,
        named.progress_position >= path.stage_position as is_reached,
        case
            when path.semantics = 'S' then named.outcome = 'won'
            else stays.deal_id is not null or coalesce(named.current_position = path.stage_position, false)
        end as is_visited,
        coalesce(stays.visits, 0) as visits,
        coalesce(stays.stay_seconds, 0) as stay_seconds,
        coalesce(stays.has_open_stay, false) as has_open_stay,
        stays.first_entered_at

    from named
    inner join path on path.pipeline_key = named.pipeline_key
    left join stays on stays.deal_id = named.deal_id and stays.stage_position = path.stage_position
)

select
    deal_id,
    pipeline_key,
    pipeline_name,
    path_stage_id as stage_id,
    stage_name,
    stage_position,
    cohort_month,
    manager_key,
    manager_name,
    department_name,
    last_touch_channel_key as channel_key,
    channel_name_ru,
    deal_type,
    main_product_key,
    client_key,
    is_repeat_sale,
    amount_rc,
    outcome,
    is_reached,
    is_visited,
    is_reached and not is_visited as is_skipped,
    outcome = 'open' and progress_position = stage_position as is_open_progress,
    outcome = 'lost' and progress_position = stage_position as is_lost_progress,
    coalesce(current_position = stage_position, false) as is_open_actual,
    coalesce(lost_position = stage_position, false) as is_lost_actual,
    visits,
    stay_seconds,
    has_open_stay,
    first_entered_at

from placed
