-- C11: stays of a deal do not overlap, one ends when the next begins, and only the last is current.
with stays as (
    select
        interval_id,
        deal_id,
        left_at,
        is_current,
        lead(entered_at) over (partition by deal_id order by entered_at, interval_id) as next_entered_at,
        row_number() over (partition by deal_id order by entered_at desc, interval_id desc) as place_from_end

    from {{ ref('fct_deal_stage_history') }}
)

select * from stays
where
    left_at is distinct from next_entered_at
    or is_current <> (place_from_end = 1)
