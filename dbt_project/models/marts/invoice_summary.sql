-- One row per month, pipeline of invoices and manager with an invoice created or paid in it, or due in it and overdue.
with invoices as (
    select * from {{ ref('fct_invoices') }} where is_in_scope
),

events as (
    select 'created' as event, created_date as event_date, pipeline_key, manager_key, amount_rc from invoices
    union all
    select 'paid' as event, paid_date as event_date, pipeline_key, manager_key, amount_rc
    from invoices
    where outcome = 'won'
    union all
    select 'overdue' as event, due_date as event_date, pipeline_key, manager_key, amount_rc
    from invoices
    where outcome = 'open' and due_date < {{ as_of_date() }}
),

counted as (
    select
        {{ month_of('event_date') }} as period_month,
        pipeline_key,
        manager_key,
        {{ count_if("event = 'created'") }} as invoices_created,
        {{ sum_money("case when event = 'created' then amount_rc end") }} as invoices_amount,
        {{ count_if("event = 'paid'") }} as invoices_paid,
        {{ sum_money("case when event = 'paid' then amount_rc end") }} as paid_amount,
        {{ count_if("event = 'overdue'") }} as invoices_overdue

    from events
    where {{ month_of('event_date') }} <= {{ month_of(as_of_date()) }}
    group by 1, 2, 3
)

select
    counted.period_month,
    counted.pipeline_key,
    coalesce(pipelines.name, '#' || cast(counted.pipeline_key as varchar)) as pipeline_name,
    counted.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    counted.invoices_created,
    counted.invoices_amount,
    counted.invoices_paid,
    counted.paid_amount,
    counted.invoices_overdue

from counted
left join {{ ref('stg_bitrix24__pipelines') }} as pipelines
    on pipelines.entity_type_id = 31 and pipelines.pipeline_key = counted.pipeline_key
left join {{ ref('dim_manager') }} as managers on managers.manager_key = counted.manager_key
