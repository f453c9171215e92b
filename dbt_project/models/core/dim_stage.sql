-- One row per stage of a deal, invoice or process pipeline and per lead status, those that only history or a card still
-- names too.
with listed as (
    select * from {{ ref('int_stages__positions') }}
),

mentions as (
    select
        'deal' as entity,
        2 as entity_type_id,
        pipeline_key,
        stage_id,
        stage_semantics as semantics,
        stage_change_id as mention_id
    from {{ ref('stg_bitrix24__deal_stage_history') }}
    union all
    select 'deal', 2, pipeline_key, stage_id, stage_semantics, 0 from {{ ref('stg_bitrix24__deals') }}
    union all
    select 'lead', 1, 0, status_id, status_semantics, status_change_id from {{ ref('stg_bitrix24__lead_stage_history') }}
    union all
    select 'lead', 1, 0, status_id, status_semantics, 0 from {{ ref('stg_bitrix24__leads') }}
    union all
    select entity, entity_type_id, pipeline_key, stage_id, stage_semantics, stage_change_id
    from {{ ref('int_items__stage_changes') }}
    union all
    select entity, entity_type_id, pipeline_key, stage_id, null, 0 from {{ ref('int_items') }}
),

unlisted as (
    select
        mentions.entity,
        mentions.entity_type_id,
        mentions.pipeline_key,
        mentions.stage_id,
        mentions.semantics,
        row_number() over (
            partition by mentions.entity_type_id, mentions.pipeline_key, mentions.stage_id
            order by mentions.mention_id desc, mentions.semantics
        ) as place

    from mentions
    left join listed
        on
            listed.entity_type_id = mentions.entity_type_id
            and listed.pipeline_key = mentions.pipeline_key
            and listed.stage_id = mentions.stage_id
    where mentions.stage_id is not null and listed.stage_id is null
),

stages as (
    select entity, entity_type_id, pipeline_key, stage_id, name, sort, semantics, stage_position, is_active, color from listed
    union all
    select
        entity,
        entity_type_id,
        pipeline_key,
        stage_id,
        '#' || stage_id as name,
        null as sort,
        case when semantics in ('S', 'F') then semantics else 'P' end as semantics,
        null as stage_position,
        false as is_active,
        null as color
    from unlisted
    where place = 1
)

select
    cast(entity_type_id as varchar) || '|' || cast(pipeline_key as varchar) || '|' || stage_id as stage_key,
    entity,
    cast(entity_type_id as bigint) as entity_type_id,
    pipeline_key,
    stage_id,
    coalesce(name, '#' || stage_id) as name,
    sort,
    semantics,
    stage_position,
    stage_position is not null as is_path,
    is_active,
    color

from stages
