-- One row per month, source of tickets, manager and topic with a ticket created, solved or open in it, or an answer to a survey.
with tickets as (
    select * from {{ ref('fct_support_tickets') }} where is_in_scope
),

created as (
    select
        {{ month_of('created_date') }} as period_month,
        source_type,
        manager_key,
        topic,
        count(*) as tickets_created,
        {{ count_if('first_response_at is not null') }} as answered,
        {{ sum_count('response_seconds') }} as response_seconds_sum,
        {{ median('response_seconds') }} as response_seconds_median,
        {{ count_if('resolved_at is not null') }} as resolved_cohort,
        {{ sum_count('resolution_seconds') }} as resolution_seconds_sum,
        {{ median('resolution_seconds') }} as resolution_seconds_median,
        {{ count_if('resolved_at <= ' ~ shift_hours(as_of(), -24 * var('fcr_window_days'))) }} as fcr_base,
        {{ count_if('is_fcr and resolved_at <= ' ~ shift_hours(as_of(), -24 * var('fcr_window_days'))) }}
            as fcr_tickets,
        {{ count_if('reopen_count > 0') }} as reopened

    from tickets
    group by period_month, source_type, manager_key, topic
),

resolved as (
    select {{ month_of('resolved_date') }} as period_month, source_type, manager_key, topic, count(*) as tickets_resolved
    from tickets
    where resolved_at is not null
    group by period_month, source_type, manager_key, topic
),

-- the tickets open at the end of a month are those created so far less those closed so far
changes as (
    select period_month, source_type, manager_key, topic, sum(change) as change
    from (
        select {{ month_of('created_date') }} as period_month, source_type, manager_key, topic, 1 as change
        from tickets
        union all
        -- an imported ticket may have been closed before its card was made
        select
            {{ month_of('greatest(closed_date, created_date)') }} as period_month, source_type, manager_key, topic,
            -1 as change
        from tickets
        where closed_at is not null
    ) as moments
    group by period_month, source_type, manager_key, topic
),

cells as (
    select source_type, manager_key, topic, min(period_month) as first_month
    from changes
    group by source_type, manager_key, topic
),

months as (
    select distinct month_start as period_month
    from {{ ref('dim_date') }}
    where month_start <= {{ month_of(as_of_date()) }}
    union
    select period_month from changes
),

states as (
    select
        months.period_month,
        cells.source_type,
        cells.manager_key,
        cells.topic,
        sum(coalesce(changes.change, 0)) over (
            partition by cells.source_type, cells.manager_key, cells.topic
            order by months.period_month
            rows between unbounded preceding and current row
        ) as tickets_open_eop

    from cells
    inner join months on months.period_month >= cells.first_month
    left join changes
        on
            changes.period_month = months.period_month
            and changes.source_type = cells.source_type
            and changes.manager_key = cells.manager_key
            and changes.topic = cells.topic
),

answers as (
    select
        {{ month_of('answers.answered_date') }} as period_month,
        coalesce(tickets.source_type, 'unknown') as source_type,
        answers.manager_key,
        coalesce(tickets.topic, 'Не определено') as topic,
        {{ count_if("answers.survey = 'csat'") }} as csat_answers,
        {{ count_if("answers.survey = 'csat' and answers.score >= 4") }} as csat_positive,
        {{ count_if("answers.survey = 'nps'") }} as nps_answers,
        {{ count_if("answers.survey = 'nps' and answers.score >= 9") }} as promoters,
        {{ count_if("answers.survey = 'nps' and answers.score <= 6") }} as detractors

    from {{ ref('fct_survey_answers') }} as answers
    left join tickets on tickets.ticket_key = answers.ticket_key
    group by
        {{ month_of('answers.answered_date') }}, coalesce(tickets.source_type, 'unknown'), answers.manager_key,
        coalesce(tickets.topic, 'Не определено')
),

keys as (
    select period_month, source_type, manager_key, topic from created
    union
    select period_month, source_type, manager_key, topic from resolved
    union
    select period_month, source_type, manager_key, topic from states where tickets_open_eop <> 0
    union
    select period_month, source_type, manager_key, topic from answers
)

select
    keys.period_month,
    keys.source_type,
    keys.manager_key,
    managers.full_name as manager_name,
    managers.department_name,
    keys.topic,
    coalesce(created.tickets_created, 0) as tickets_created,
    coalesce(resolved.tickets_resolved, 0) as tickets_resolved,
    cast(coalesce(states.tickets_open_eop, 0) as bigint) as tickets_open_eop,
    coalesce(created.answered, 0) as answered,
    round(coalesce(created.response_seconds_sum, 0) / 60.0, 2) as first_response_minutes_sum,
    round(cast(created.response_seconds_sum as double) / nullif(created.answered, 0) / 60, 2) as first_response_minutes_avg,
    round(created.response_seconds_median / 60, 2) as first_response_minutes_median,
    coalesce(created.resolved_cohort, 0) as resolved_cohort,
    {{ hours('coalesce(created.resolution_seconds_sum, 0)') }} as resolution_hours_sum,
    {{ hours('cast(created.resolution_seconds_sum as double) / nullif(created.resolved_cohort, 0)') }} as resolution_hours_avg,
    {{ hours('created.resolution_seconds_median') }} as resolution_hours_median,
    coalesce(created.fcr_base, 0) as fcr_base,
    coalesce(created.fcr_tickets, 0) as fcr_tickets,
    {{ ratio('created.fcr_tickets', 'created.fcr_base') }} as fcr_rate,
    coalesce(created.reopened, 0) as reopened,
    coalesce(answers.csat_answers, 0) as csat_answers,
    coalesce(answers.csat_positive, 0) as csat_positive,
    {{ ratio('answers.csat_positive', 'answers.csat_answers') }} as csat,
    coalesce(answers.nps_answers, 0) as nps_answers,
    coalesce(answers.promoters, 0) as promoters,
    coalesce(answers.detractors, 0) as detractors,
    {{ ratio('answers.promoters - answers.detractors', 'answers.nps_answers') }} as nps

from keys
{%- for parts in ['created', 'resolved', 'states', 'answers'] %}
left join {{ parts }}
    on
        {{ parts }}.period_month = keys.period_month
        and {{ parts }}.source_type = keys.source_type
        and {{ parts }}.manager_key = keys.manager_key
        and {{ parts }}.topic = keys.topic
{%- endfor %}
left join {{ ref('dim_manager') }} as managers on managers.manager_key = keys.manager_key
where keys.period_month <= {{ month_of(as_of_date()) }}
