-- One row per line of support_sources.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'support_sources') }}
)

select
    {{ to_tag('source_type') }} as source_type,
    {{ to_id('entity_type_id') }} as entity_type_id,
    {{ to_int('pipeline_key') }} as pipeline_key,
    {{ to_text('topic_field') }} as topic_field,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
