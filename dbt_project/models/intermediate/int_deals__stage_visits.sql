{{ config(materialized='table') }}
-- One row per stay of a deal in a stage; a deal that returns to a stage has two stays.
with changes as (
    select * from {{ ref('stg_bitrix24__deal_stage_history') }}
    where deal_id is not null and stage_id is not null and entered_at is not null
),

stages as (
    select * from {{ ref('int_stages__positions') }} where entity = 'deal'
),

{{ stage_visits(['deal_id']) }}
