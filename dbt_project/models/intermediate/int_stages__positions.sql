-- One row per stage of a deal, invoice or process pipeline and per lead status that the portal ever listed, with its
-- place on the path.
{{ only_supported('stage_order', ['current']) }}
with statuses as (
    select * from {{ ref('stg_bitrix24__statuses') }}
),

stages as (
    select
        status_row_id,
        case
            when dictionary_code = 'STATUS' then 'lead'
            when dictionary_code like 'DEAL_%' then 'deal'
            when dictionary_code like 'SMART_INVOICE_%' then 'invoice'
            else 'process'
        end as entity,
        case
            when dictionary_code = 'STATUS' then 1
            when dictionary_code like 'DEAL_%' then 2
            when dictionary_code like 'SMART_INVOICE_%' then 31
            else {{ to_int(first_match('dictionary_code', '^DYNAMIC_([0-9]+)_')) }}
        end as entity_type_id,
        coalesce({{ to_int(first_match('dictionary_code', '_STAGE_([0-9]+)$')) }}, 0) as pipeline_key,
        status_id as stage_id,
        name,
        sort,
        case when semantics in ('S', 'F') then semantics else 'P' end as semantics,
        color,
        is_listed,
        is_last_known

    from statuses
    where
        dictionary_code in ('STATUS', 'DEAL_STAGE')
        or {{ first_match('dictionary_code', '^(DEAL|SMART_INVOICE|DYNAMIC_[0-9]+)_STAGE_[0-9]+$') }} is not null
),

-- the path: stages in work by their order, then the success stage; a deleted pipeline keeps the path it had. Invoices
-- have none
path as (
    select
        *,
        row_number() over (partition by entity_type_id, pipeline_key, semantics order by sort, status_row_id) as place,
        count(*) filter (where semantics = 'P') over (partition by entity_type_id, pipeline_key) as path_stage_count

    from stages
    where is_last_known and semantics in ('P', 'S') and entity <> 'invoice'
),

positioned as (
    select
        status_row_id,
        path_stage_count,
        case when semantics = 'P' then place else path_stage_count + 1 end as stage_position,
        -- a second success stage shares the place of the first
        semantics = 'P' or place = 1 as is_path_owner

    from path
),

-- a stage deleted from the portal counts as the last stage of the path that stood before it
rolled_up as (
    select
        stages.status_row_id,
        coalesce(max(case when path.semantics = 'P' and path.sort <= stages.sort then path.place end), 1)
            as stage_position,
        max(path.path_stage_count) as path_stage_count

    from stages
    inner join path on path.entity_type_id = stages.entity_type_id and path.pipeline_key = stages.pipeline_key
    where not stages.is_last_known
    group by stages.status_row_id
)

select
    stages.entity,
    stages.entity_type_id,
    stages.pipeline_key,
    stages.stage_id,
    stages.name,
    stages.sort,
    stages.semantics,
    case
        when positioned.status_row_id is not null then positioned.stage_position
        when stages.semantics = 'P' then rolled_up.stage_position
        when stages.semantics = 'S' then rolled_up.path_stage_count + 1
    end as stage_position,
    coalesce(positioned.is_path_owner, false) as is_path_owner,
    stages.is_listed as is_active,
    stages.color

from stages
left join positioned on positioned.status_row_id = stages.status_row_id
left join rolled_up on rolled_up.status_row_id = stages.status_row_id
