-- One row per line of funnel_alert_thresholds.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'funnel_alert_thresholds') }}
)

select
    {{ to_int('pipeline_key') }} as pipeline_key,
    {{ to_text('stage_id') }} as stage_id,
    {{ to_decimal('min_conversion', 18, 4) }} as min_conversion,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
