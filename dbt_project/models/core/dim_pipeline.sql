-- One row per deal pipeline that the portal lists, listed once, or a deal, its history or a stage names.
with listed as (
    select * from {{ ref('stg_bitrix24__pipelines') }} where entity_type_id = 2
),

stages as (
    select * from {{ ref('int_stages__positions') }} where entity = 'deal'
),

named as (
    select pipeline_key from {{ ref('int_deals__scoped') }}
    union
    select pipeline_key from {{ ref('int_deals__stage_visits') }}
    union
    select pipeline_key from stages
),

paths as (
    select
        pipeline_key,
        count(*) as path_stage_count
    from stages
    where is_path_owner and semantics = 'P'
    group by pipeline_key
)

select
    coalesce(listed.pipeline_key, named.pipeline_key) as pipeline_key,
    coalesce(listed.name, '#' || cast(coalesce(listed.pipeline_key, named.pipeline_key) as varchar)) as name,
    listed.sort,
    coalesce(listed.is_default, false) as is_default,
    not coalesce(listed.is_listed, false) as is_deleted,
    {{ in_var_list('coalesce(listed.pipeline_key, named.pipeline_key)', 'excluded_category_ids') }} as is_excluded,
    coalesce(paths.path_stage_count, 0) as path_stage_count

from listed
full outer join named on named.pipeline_key = listed.pipeline_key
left join paths on paths.pipeline_key = coalesce(listed.pipeline_key, named.pipeline_key)
