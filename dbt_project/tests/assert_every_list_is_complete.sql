-- C25: when a run last compared a list with the portal, both held the same ids. Rows that were missing were read again by
-- then; those the portal shows no more were marked as deleted, unless so many went at once that it looks like lost
-- rights: then what is published stays. `b24 verify --heal` compares again, `--accept-rights` takes what is seen now.
with runs as (
    select distinct run_id from {{ source('ops', 'sync_runs') }}
),

comparisons as (
    select
        checks.*,
        row_number() over (partition by checks.entity order by checks.checked_at desc) as place
    from {{ source('ops', 'id_checks') }} as checks
    left join runs on runs.run_id = checks.run_id
    -- what `b24 verify` finds between two runs is the next run's to mend; what it has mended counts
    where runs.run_id is not null or checks.is_equal
)

select entity, checked_at, portal_ids, warehouse_ids, missing, extra, note
from comparisons
where place = 1 and missing + extra > 0
