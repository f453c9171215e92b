-- One row per change of the stage of a smart invoice (entity type 31) or of an item of a smart process.
select
    'invoice' as entity,
    31 as entity_type_id,
    invoice_id as item_id,
    stage_change_id,
    change_type,
    coalesce(pipeline_key, 0) as pipeline_key,
    stage_id,
    stage_semantics,
    entered_at,
    loaded_at
from {{ ref('stg_bitrix24__smart_invoice_stage_history') }}

union all

select
    'process' as entity,
    entity_type_id,
    item_id,
    stage_change_id,
    change_type,
    coalesce(pipeline_key, 0) as pipeline_key,
    stage_id,
    stage_semantics,
    entered_at,
    loaded_at
from {{ ref('stg_bitrix24__process_stage_history') }}
