-- One row per type of smart processes that the portal lists or an item or its history names.
with types as (
    select * from {{ ref('stg_bitrix24__process_types') }}
),

named as (
    select entity_type_id from {{ ref('stg_bitrix24__process_items') }}
    union
    select entity_type_id from {{ ref('stg_bitrix24__process_stage_history') }}
)

select
    cast(coalesce(types.entity_type_id, named.entity_type_id) as bigint) as entity_type_id,
    coalesce(types.title, '#' || cast(coalesce(types.entity_type_id, named.entity_type_id) as varchar)) as title,
    coalesce(types.has_stages, false) as has_stages,
    coalesce(types.has_pipelines, false) as has_pipelines,
    not coalesce(types.is_listed, false) as is_deleted

from types
full outer join named on named.entity_type_id = types.entity_type_id
