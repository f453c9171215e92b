-- One row per item of a smart process, deleted ones too.
select
    -- ids
    cast(entity_type_id as bigint) as entity_type_id,
    item_id,
    pipeline_key,
    stage_id,
    manager_key,
    client_key,
    deal_id,

    -- dimensions
    title,
    outcome,

    -- measures
    case when outcome = 'won' then {{ seconds_between('created_at', 'closed_at') }} end as cycle_seconds,

    -- flags
    has_history,
    is_deleted,
    is_in_scope,

    -- times
    close_date as due_date,
    closed_at,
    closed_date,
    created_at,
    created_date,
    modified_at,
    deleted_at,
    loaded_at

from {{ ref('int_items__resolved') }}
where entity = 'process'
