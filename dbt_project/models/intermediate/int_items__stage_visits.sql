{{ config(materialized='table') }}
-- One row per stay of a smart invoice or a process item in a stage; an item that returns to a stage has two stays.
with changes as (
    select * from {{ ref('int_items__stage_changes') }}
    where item_id is not null and stage_id is not null and entered_at is not null
),

stages as (
    select pipeline_key, stage_id, semantics, stage_position
    from {{ ref('int_stages__positions') }}
    where entity in ('invoice', 'process')
),

{{ stage_visits(['entity_type_id', 'item_id']) }}
