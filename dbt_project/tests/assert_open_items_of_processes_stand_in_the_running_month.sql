-- What is open now is open at the end of the running month. History is read after items, so it may run ahead for one run.
{{ config(severity='warn') }}
with mart as (
    select entity_type_id, sum(items_open) as items_open
    from {{ ref('process_efficiency') }}
    where period_month = {{ month_of(as_of_date()) }}
    group by entity_type_id
),

items as (
    select entity_type_id, count(case when outcome = 'open' then 1 end) as items_open
    from {{ ref('fct_process_items') }}
    where is_in_scope
    group by entity_type_id
)

select items.entity_type_id, items.items_open, mart.items_open as items_open_of_mart
from items
left join mart on mart.entity_type_id = items.entity_type_id
where items.items_open <> coalesce(mart.items_open, 0)
