-- One row per change of a field of a task. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'task_history') }}
)

select
    {{ to_id('task_id') }} as task_id,
    {{ to_id('id') }} as change_id,
    {{ to_id('user_id') }} as user_id,
    upper({{ to_code('field') }}) as field_code,
    {{ to_text('value_from') }} as value_from,
    {{ to_text('value_to') }} as value_to,
    {{ to_instant('created_date') }} as changed_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
