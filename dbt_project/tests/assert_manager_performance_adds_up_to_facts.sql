-- Over all managers and months, the sums are those of the in-scope facts up to the running month (C18, C19).
{% set this_month = month_of(as_of_date()) %}
with marts as (
    select
        coalesce(sum(deals_created), 0) as deals_created,
        coalesce(sum(deals_won), 0) as deals_won,
        coalesce(sum(deals_lost), 0) as deals_lost,
        coalesce(sum(lost_amount), 0) as lost_amount,
        coalesce(sum(leads_assigned), 0) as leads_assigned,
        coalesce(sum(requests), 0) as requests,
        coalesce(sum(calls_total), 0) as calls_total,
        coalesce(sum(tasks_closed), 0) as tasks_closed
    from {{ ref('manager_performance') }}
),

facts as (
    select
        'deals_created' as measure,
        (select deals_created from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_deals') }}
            where is_in_scope and {{ month_of('created_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'deals_won' as measure,
        (select deals_won from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_deals') }}
            where is_in_scope and outcome = 'won' and {{ month_of('won_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'deals_lost' as measure,
        (select deals_lost from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_deals') }}
            where is_in_scope and outcome = 'lost' and {{ month_of('lost_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'lost_amount' as measure,
        (select lost_amount from marts) as mart_value,
        (
            select coalesce(sum(amount_rc), 0) from {{ ref('fct_deals') }}
            where is_in_scope and outcome = 'lost' and {{ month_of('lost_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'leads_assigned' as measure,
        (select leads_assigned from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_leads') }}
            where is_in_scope and {{ month_of('created_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'requests' as measure,
        (select requests from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_requests') }}
            where is_in_scope and {{ month_of('created_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'calls_total' as measure,
        (select calls_total from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_calls') }}
            where is_in_scope and {{ month_of('started_date') }} <= {{ this_month }}
        ) as fact_value
    union all
    select
        'tasks_closed' as measure,
        (select tasks_closed from marts) as mart_value,
        (
            select count(*) from {{ ref('fct_tasks') }}
            where is_in_scope and is_done and {{ month_of('closed_date') }} <= {{ this_month }}
        ) as fact_value
)

select * from facts where mart_value <> fact_value
