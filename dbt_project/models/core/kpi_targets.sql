-- One row per metric, scope, member of the scope and day from which the target holds.
select
    metric,
    scope,
    scope_key,
    target,
    direction,
    valid_from,
    lead(valid_from) over (partition by metric, scope, scope_key order by valid_from) as valid_to,
    loaded_at
from {{ ref('stg_files__kpi_targets') }}
