-- One row per kind of period, period, pipeline (-1: all) and metric, from the first event to the running period.
{% set running_year = dbt.date_trunc('year', as_of_date()) -%}
with daily as (
    select * from {{ ref('int_metrics__daily') }}
),

series as (
    select distinct pipeline_key, metric from daily
),

days as (
    {{ date_spine('(select min(date_day) from daily)', shift_date('day', -1, shift_date('year', 1, running_year))) }}
),

calendar as (
    {% for period_type in ['week', 'month', 'quarter', 'year'] -%}
    select
        date_day,
        '{{ period_type }}' as period_type,
        cast({{ dbt.date_trunc(period_type, 'date_day') }} as date) as period_start,
        {{ shift_date('day', -1, shift_date(period_type, 1, dbt.date_trunc(period_type, 'date_day'))) }} as period_end,
        {{ shift_date(period_type, -1, dbt.date_trunc(period_type, 'date_day')) }} as prev_start
    from days
    {{ "union all" if not loop.last }}
    {% endfor %}
),

periods as (
    select distinct
        period_type,
        period_start,
        period_end,
        prev_start,
        case when period_type = 'week' then extract(isoyear from period_start) end as iso_year,
        case when period_type = 'week' then extract(week from period_start) end as iso_week,
        period_end < {{ as_of_date() }} as is_complete,
        {{ days_between('period_start', 'least(period_end, ' ~ as_of_date() ~ ')') }} + 1 as elapsed_days
    from calendar
    where period_start <= {{ as_of_date() }}
),

-- a year ago: the same part of the calendar year, or the week of the same number; a 53rd week has no fellow.
-- What lies before the first period is not known, so the inner joins leave it out.
compared as (
    select period_type, period_start, 'own' as relation, period_start as compared_start, elapsed_days from periods

    union all

    select periods.period_type, periods.period_start, 'prev' as relation, earlier.period_start, periods.elapsed_days
    from periods
    inner join periods as earlier
        on earlier.period_type = periods.period_type and earlier.period_start = periods.prev_start

    union all

    select periods.period_type, periods.period_start, 'yoy' as relation, earlier.period_start, periods.elapsed_days
    from periods
    inner join periods as earlier
        on earlier.period_type = periods.period_type
        and (
            earlier.period_start = {{ shift_date('year', -1, 'periods.period_start') }}
            and periods.period_type <> 'week'
            or earlier.iso_year = periods.iso_year - 1
            and earlier.iso_week = periods.iso_week
            and periods.iso_week < 53
        )
),

known as (
    select
        period_type,
        period_start,
        {{ count_if("relation = 'prev'") }} > 0 as has_prev,
        {{ count_if("relation = 'yoy'") }} > 0 as has_yoy
    from compared
    group by period_type, period_start
),

dated as (
    select
        calendar.period_type,
        calendar.period_start,
        {{ days_between('calendar.period_start', 'calendar.date_day') }} + 1 as day_number,
        daily.pipeline_key,
        daily.metric,
        daily.value
    from daily
    inner join calendar on calendar.date_day = daily.date_day
),

summed as (
    select
        compared.period_type,
        compared.period_start,
        dated.pipeline_key,
        dated.metric,
        sum(case when compared.relation = 'own' then dated.value end) as value,
        {%- for relation in ['prev', 'yoy'] %}
        sum(case when compared.relation = '{{ relation }}' then dated.value end) as value_{{ relation }},
        sum(
            case
                when compared.relation = '{{ relation }}' and dated.day_number <= compared.elapsed_days
                    then dated.value
            end
        ) as value_{{ relation }}_same_days{{ "," if not loop.last }}
        {%- endfor %}
    from compared
    inner join dated
        on dated.period_type = compared.period_type and dated.period_start = compared.compared_start
    group by compared.period_type, compared.period_start, dated.pipeline_key, dated.metric
),

-- zeros are kept
filled as (
    select
        periods.period_type,
        periods.period_start,
        periods.period_end,
        series.pipeline_key,
        series.metric,
        periods.is_complete,
        cast(coalesce(summed.value, 0) as decimal(18, 2)) as value,
        {%- for relation in ['prev', 'yoy'] %}
        cast(case when known.has_{{ relation }} then coalesce(summed.value_{{ relation }}, 0) end as decimal(18, 2))
            as value_{{ relation }},
        cast(
            case when known.has_{{ relation }} then coalesce(summed.value_{{ relation }}_same_days, 0) end
            as decimal(18, 2)
        ) as value_{{ relation }}_same_days{{ "," if not loop.last }}
        {%- endfor %}
    from periods
    inner join known on known.period_type = periods.period_type and known.period_start = periods.period_start
    cross join series
    left join summed
        on summed.period_type = periods.period_type
        and summed.period_start = periods.period_start
        and summed.pipeline_key = series.pipeline_key
        and summed.metric = series.metric
),

-- which part of an average month of its year each month was
months as (
    select
        pipeline_key,
        metric,
        extract(month from period_start) as month_number,
        cast(value as double) as value,
        avg(cast(value as double)) over by_year as year_mean,
        count(*) over by_year as months_complete
    from filled
    where period_type = 'month' and is_complete
    window by_year as (partition by pipeline_key, metric, extract(year from period_start))
),

seasons as (
    select pipeline_key, metric, month_number, round(avg(value / year_mean), 4) as seasonality_index
    from months
    where months_complete = 12 and year_mean > 0
    group by pipeline_key, metric, month_number
    having count(*) >= 2
)

select
    -- ids
    filled.period_type,
    filled.period_start,
    filled.pipeline_key,
    case when filled.pipeline_key = -1 then 'Все воронки' else labels.name end as pipeline_name,
    filled.metric,

    -- dimensions
    filled.period_end,
    filled.is_complete,

    -- measures
    filled.value,
    filled.value_prev,
    filled.value_yoy,
    filled.value_prev_same_days,
    filled.value_yoy_same_days,
    {%- for compared in ['prev', 'yoy', 'prev_same_days', 'yoy_same_days'] %}
    cast(filled.value - filled.value_{{ compared }} as decimal(18, 2)) as delta_{{ compared }},
    {%- endfor %}
    {%- for compared in ['prev', 'yoy', 'prev_same_days', 'yoy_same_days'] %}
    case
        when filled.value_{{ compared }} > 0
            then {{ ratio('filled.value - filled.value_' ~ compared, 'filled.value_' ~ compared) }}
    end as pct_{{ compared }},
    {%- endfor %}
    seasons.seasonality_index
from filled
left join {{ ref('dim_pipeline') }} as labels on labels.pipeline_key = filled.pipeline_key
left join seasons
    on filled.period_type = 'month'
    and seasons.pipeline_key = filled.pipeline_key
    and seasons.metric = filled.metric
    and seasons.month_number = extract(month from filled.period_start)
