-- The counts of process_efficiency are those of the counted items and stays up to the running month.
{% set this_month = month_of(as_of_date()) %}
with mart as (
    select
        coalesce(sum(items_created), 0) as items_created,
        coalesce(sum(items_done), 0) as items_done,
        coalesce(sum(items_failed), 0) as items_failed,
        coalesce(sum(stage_entries), 0) as stage_entries,
        coalesce(sum(stage_exits), 0) as stage_exits
    from {{ ref('process_efficiency') }}
),

items as (
    select
        count(case when {{ month_of('created_date') }} <= {{ this_month }} then 1 end) as created,
        count(case when outcome = 'won' and {{ month_of('closed_date') }} <= {{ this_month }} then 1 end) as done,
        count(case when outcome = 'lost' and {{ month_of('closed_date') }} <= {{ this_month }} then 1 end) as failed
    from {{ ref('fct_process_items') }}
    where is_in_scope
),

stays as (
    select
        count(case when {{ month_of('entered_date') }} <= {{ this_month }} then 1 end) as entries,
        count(case when {{ month_of('left_date') }} <= {{ this_month }} then 1 end) as exits
    from {{ ref('fct_process_stage_history') }}
    where is_in_scope
)

select *
from mart
cross join items
cross join stays
where
    mart.items_created <> items.created
    or mart.items_done <> items.done
    or mart.items_failed <> items.failed
    or mart.stage_entries <> stays.entries
    or mart.stage_exits <> stays.exits
