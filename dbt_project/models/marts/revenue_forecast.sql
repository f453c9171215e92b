-- One row per open counted deal: how likely it is to be won, when, and what it is worth today.
with deals as (
    select
        deals.*,
        progress.progress_position
    from {{ ref('fct_deals') }} as deals
    inner join {{ ref('int_deals__progress') }} as progress on progress.deal_id = deals.deal_id
    where deals.is_in_scope
),

open_deals as (
    select * from deals where outcome = 'open'
),

-- what closed within a year tells about what is open
closed_deals as (
    select * from deals
    where
        outcome <> 'open'
        and closed_date > {{ shift_date('day', -365, as_of_date()) }}
        and closed_date <= {{ as_of_date() }}
),

places as (
    select distinct pipeline_key, progress_position from open_deals
),

place_samples as (
    select
        places.pipeline_key,
        places.progress_position,
        count(*) as sample_deals,
        {{ count_if("closed_deals.outcome = 'won'") }} as sample_won
    from places
    inner join closed_deals
        on
            closed_deals.pipeline_key = places.pipeline_key
            and closed_deals.progress_position >= places.progress_position
    group by places.pipeline_key, places.progress_position
),

pipeline_samples as (
    select
        pipeline_key,
        count(*) as sample_deals,
        {{ count_if("outcome = 'won'") }} as sample_won
    from closed_deals
    group by pipeline_key
),

first_entries as (
    select
        closed_deals.deal_id,
        closed_deals.pipeline_key,
        closed_deals.won_at,
        stays.stage_id,
        min(stays.entered_at) as first_entered_at
    from closed_deals
    inner join {{ ref('fct_deal_stage_history') }} as stays
        on stays.deal_id = closed_deals.deal_id and stays.pipeline_key = closed_deals.pipeline_key
    where closed_deals.outcome = 'won'
    group by closed_deals.deal_id, closed_deals.pipeline_key, closed_deals.won_at, stays.stage_id
),

ways_to_sale as (
    select
        pipeline_key,
        stage_id,
        cast(ceil({{ median(seconds_between('first_entered_at', 'won_at')) }} / 86400) as integer) as days_to_sale
    from first_entries
    group by pipeline_key, stage_id
),

sourced as (
    select
        open_deals.*,
        idle.idle_days,
        idle.median_stage_days,
        idle.is_stale,
        case
            when open_deals.close_date >= {{ as_of_date() }} then open_deals.close_date
            else {{ shift_date('day', 'coalesce(ways_to_sale.days_to_sale, 30)', as_of_date()) }}
        end as expected_close_date,
        case
            when place_samples.sample_deals >= {{ var('forecast_min_sample') }} then 'stage'
            when open_deals.probability > 0 then 'field'
            when pipeline_samples.sample_deals >= {{ var('forecast_min_sample') }} then 'pipeline'
        end as probability_source,
        place_samples.sample_deals as place_deals,
        place_samples.sample_won as place_won,
        pipeline_samples.sample_deals as pipeline_deals,
        pipeline_samples.sample_won as pipeline_won
    from open_deals
    inner join {{ ref('int_deals__idle') }} as idle on idle.deal_id = open_deals.deal_id
    left join place_samples
        on
            place_samples.pipeline_key = open_deals.pipeline_key
            and place_samples.progress_position = open_deals.progress_position
    left join pipeline_samples on pipeline_samples.pipeline_key = open_deals.pipeline_key
    left join ways_to_sale
        on ways_to_sale.pipeline_key = open_deals.pipeline_key and ways_to_sale.stage_id = open_deals.stage_id
),

-- the probability as a fraction, so that money is multiplied by the unrounded one
estimated as (
    select
        *,
        case probability_source
            when 'stage' then place_won
            when 'field' then least(probability, 100)
            when 'pipeline' then pipeline_won
        end as chances,
        case probability_source
            when 'stage' then place_deals
            when 'field' then 100
            when 'pipeline' then pipeline_deals
        end as chances_of
    from sourced
)

select
    -- ids
    estimated.deal_id,
    estimated.pipeline_key,
    pipelines.name as pipeline_name,
    estimated.stage_id,
    coalesce(stages.name, '#' || estimated.stage_id) as stage_name,
    estimated.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    estimated.last_touch_channel_key as channel_key,
    channels.name_ru as channel_name_ru,
    estimated.client_key,
    clients.name as client_name,
    estimated.main_product_key,
    products.name as main_product_name,

    -- dimensions
    estimated.deal_type,
    estimated.is_repeat_sale,
    estimated.created_date,
    {{ month_of('estimated.expected_close_date') }} as expected_close_month,
    estimated.expected_close_date,

    -- chances
    estimated.progress_position,
    {{ ratio('estimated.chances', 'estimated.chances_of') }} as win_probability,
    estimated.probability_source,
    cast(case when estimated.probability_source <> 'field' then estimated.chances_of end as bigint) as sample_deals,
    cast(case when estimated.probability_source <> 'field' then estimated.chances end as bigint) as sample_won,
    cast(case when estimated.probability_source is null then 1 else 0 end as bigint) as deals_without_probability,

    -- idleness
    estimated.idle_days,
    round(estimated.median_stage_days, 2) as median_stage_days,
    estimated.is_stale,

    -- money
    estimated.amount_rc,
    case
        when estimated.is_stale or estimated.probability_source is null then cast(0 as decimal(18, 2))
        else {{ from_kopecks(divide_rounded(
            '(' ~ to_kopecks('coalesce(estimated.amount_rc, 0)') ~ ' * estimated.chances)', 'estimated.chances_of'
        )) }}
    end as weighted_amount,
    case when estimated.is_stale then coalesce(estimated.amount_rc, 0) else cast(0 as decimal(18, 2)) end as stale_amount

from estimated
left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = estimated.pipeline_key
left join {{ ref('dim_stage') }} as stages
    on
        stages.entity = 'deal'
        and stages.pipeline_key = estimated.pipeline_key
        and stages.stage_id = estimated.stage_id
left join {{ ref('dim_manager') }} as managers on managers.manager_key = estimated.manager_key
left join {{ ref('dim_channel') }} as channels on channels.channel_key = estimated.last_touch_channel_key
left join {{ ref('dim_client') }} as clients on clients.client_key = estimated.client_key
left join {{ ref('dim_product') }} as products on products.product_key = estimated.main_product_key
