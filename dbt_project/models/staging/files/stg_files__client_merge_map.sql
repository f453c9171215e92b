-- One row per line of client_merge_map.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'client_merge_map') }}
)

select
    {{ to_text('old_key') }} as old_key,
    {{ to_text('new_key') }} as new_key,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
