-- One row per line of process_changes.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'process_changes') }}
)

select
    {{ to_int('row_number') }} as line_number,
    {{ to_calendar_date('change_date') }} as change_date,
    {{ to_int('pipeline_key') }} as pipeline_key,
    {{ to_text('description') }} as description,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
