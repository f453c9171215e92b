-- One row per task, deleted ones too.
with tasks as (
    select * from {{ ref('stg_bitrix24__tasks') }}
),

-- back to work from "awaiting control" or "done"; a task without a loaded history has no row here
returns as (
    select
        task_id as returned_task_id,
        {{ count_if("field_code = 'STATUS' and value_from in ('4', '5') and value_to in ('2', '3')") }} as returns_count

    from {{ ref('stg_bitrix24__task_history') }}
    group by task_id
)

select
    -- ids
    task_id,
    coalesce(manager_id, 0) as manager_key,
    coalesce(creator_id, 0) as creator_key,
    coalesce(project_id, 0) as project_key,
    flow_id,
    cast({{ first_match('crm_links', '"D_([0-9]+)"') }} as bigint) as deal_id,

    -- dimensions
    title,
    status,
    priority,
    mark,

    -- measures
    estimate_seconds,
    spent_seconds,
    returns.returns_count,

    -- flags
    coalesce(status = 5, false) as is_done,
    coalesce(coalesce(closed_at, {{ as_of() }}) > deadline_at, false) as is_overdue,
    coalesce(status = 5 and closed_at <= deadline_at, false) as is_on_time,
    is_deleted,
    (
        not is_deleted
        and not {{ is_test_title('title') }}
        and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }}
    ) as is_in_scope,

    -- times
    started_at,
    deadline_at,
    closed_at,
    {{ local_date('closed_at') }} as closed_date,
    created_at,
    {{ local_date('created_at') }} as created_date,
    modified_at,
    deleted_at,
    loaded_at
from tasks
left join returns on returns.returned_task_id = tasks.task_id
