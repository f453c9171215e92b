-- One row per won or lost deal that a snapshot holds: who was responsible when it was closed, else in the earliest one.
with versions as (
    select
        closed.deal_id,
        coalesce(snapshots.manager_id, 0) as manager_key,
        row_number() over (
            partition by closed.deal_id
            order by
                case when snapshots.valid_from <= closed.closed_at then 0 else 1 end,
                case when snapshots.valid_from <= closed.closed_at then snapshots.valid_from end desc,
                snapshots.valid_from
        ) as place

    from {{ ref('int_deals__closed') }} as closed
    inner join {{ ref('snap_deals') }} as snapshots on snapshots.deal_id = closed.deal_id
)

select deal_id, manager_key from versions where place = 1
