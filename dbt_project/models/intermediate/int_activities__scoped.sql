-- One row per CRM activity, deleted ones too: its kind, when it was done, and whether the marts count it (R8).
with activities as (
    select * from {{ ref('stg_bitrix24__activities') }}
)

select
    -- ids
    activity_id,
    coalesce(manager_id, 0) as manager_key,
    coalesce(author_id, 0) as author_key,
    owner_type_id,
    owner_id,

    -- dimensions
    case type_id
        when 1 then 'meeting'
        when 2 then 'call'
        when 3 then 'task'
        when 4 then 'email'
        else coalesce(lower(provider_id), 'unknown')
    end as activity_type,
    provider_id,
    provider_type_id,
    case direction_code when 1 then 'in' when 2 then 'out' else 'none' end as direction,

    -- flags
    is_completed,
    is_deleted,
    not is_deleted and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }} as is_in_scope,

    -- times; REST has no time of completion: the planned end stands for it unless it lies after the last change
    started_at,
    ended_at,
    deadline_at,
    case
        when not is_completed then null
        when ended_at <= modified_at or modified_at is null then ended_at
        else modified_at
    end as completed_at,
    created_at,
    {{ local_date('created_at') }} as created_date,
    modified_at,
    deleted_at,
    loaded_at
from activities
