-- Every counted ticket stands in service_quality by its creation, its solution and, while it is open, its state; every
-- answer to a survey by its day.
{% set this_month = month_of(as_of_date()) %}
with mart as (
    select
        coalesce(sum(tickets_created), 0) as created,
        coalesce(sum(tickets_resolved), 0) as resolved,
        coalesce(sum(case when period_month = {{ this_month }} then tickets_open_eop end), 0) as open_now,
        coalesce(sum(csat_answers + nps_answers), 0) as answers
    from {{ ref('service_quality') }}
),

tickets as (
    select
        {{ count_if(month_of('created_date') ~ ' <= ' ~ this_month) }} as created,
        {{ count_if(month_of('resolved_date') ~ ' <= ' ~ this_month) }} as resolved,
        {{ count_if('closed_at is null and ' ~ month_of('created_date') ~ ' <= ' ~ this_month) }} as open_now
    from {{ ref('fct_support_tickets') }}
    where is_in_scope
),

surveys as (
    select {{ count_if(month_of('answered_date') ~ ' <= ' ~ this_month) }} as answers
    from {{ ref('fct_survey_answers') }}
)

select mart.*, tickets.created as fact_created, tickets.resolved as fact_resolved, tickets.open_now as fact_open
from mart
cross join tickets
cross join surveys
where
    mart.created <> tickets.created
    or mart.resolved <> tickets.resolved
    or mart.open_now <> tickets.open_now
    or mart.answers <> surveys.answers
