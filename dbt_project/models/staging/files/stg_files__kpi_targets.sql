-- One row per line of kpi_targets.csv. Renames and casts only.
with source as (
    select * from {{ source('files', 'kpi_targets') }}
)

select
    {{ to_tag('metric') }} as metric,
    {{ to_tag('scope') }} as scope,
    {{ to_text('scope_key') }} as scope_key,
    {{ to_decimal('target', 18, 4) }} as target,
    {{ to_tag('direction') }} as direction,
    {{ to_calendar_date('valid_from') }} as valid_from,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
