{# True where the whole text fits the regular expression. #}
{% macro fits_whole(text, pattern) -%} regexp_full_match({{ text }}, {{ pattern }}) {%- endmacro %}

{# The first group of the first match, null where nothing matches. #}
{% macro first_match(text, pattern) -%} nullif(regexp_extract({{ text }}, {{ literal(pattern) }}, 1), '') {%- endmacro %}

{# Keys of clients: a company and a contact may have the same id. #}
{% macro company_client_key(company_id) -%} ('C' || cast({{ company_id }} as varchar)) {%- endmacro %}

{% macro contact_client_key(contact_id) -%} ('P' || cast({{ contact_id }} as varchar)) {%- endmacro %}

{# An instant moved by whole hours: a day of 24 hours, whatever the clocks of a zone do. #}
{% macro shift_hours(instant, hours) -%} {{ dbt.dateadd('hour', hours, instant) }} {%- endmacro %}

{# Stops a model in the middle of its query with a plain message. #}
{% macro fail(message) -%} error({{ literal(message) }}) {%- endmacro %}

{# Seconds of working time (09:00 to 18:00 of workdays) before an instant; days: its row of seconds_before and is_workday. #}
{% macro working_seconds(instant, days) -%}
    (
        {{ days }}.seconds_before
        + case
            when {{ days }}.is_workday
                then least(greatest(
                    {{ seconds_between(dbt.date_trunc('day', local_time(instant)), local_time(instant)) }} - 32400, 0
                ), 32400)
            else 0
        end
    )
{%- endmacro %}

{# The days that working_seconds needs: seconds of work (09:00 to 18:00 of workdays) that lie before each day begins. #}
{% macro workdays() -%}
    select
        date_day,
        is_workday,
        32400 * (
            sum(case when is_workday then 1 else 0 end) over (
                order by date_day rows between unbounded preceding and current row
            )
            - case when is_workday then 1 else 0 end
        ) as seconds_before
    from {{ ref('dim_date') }}
{%- endmacro %}

{# Money spent per thing got. A cost that is unknown (0) is not a free thing, so it gives null. #}
{% macro cost_per(spend, things) -%}
    case when {{ spend }} <> 0 then cast({{ avg_money(spend, things) }} as decimal(18, 2)) end
{%- endmacro %}

{% macro months_between(start, finish) -%} date_diff('month', {{ start }}, {{ finish }}) {%- endmacro %}

{# Number of the stretch of so many seconds, counted from 1970, in which an instant lies. #}
{% macro span_number(instant, seconds) -%} cast(floor(epoch({{ instant }}) / {{ seconds }}) as bigint) {%- endmacro %}

{# The class of a client or product in an ABC analysis, by the sum of all that are strictly greater. #}
{% macro abc_class_cumulative(greater_sum, total) -%}
    case
        when {{ greater_sum }} < cast({{ var('abc_a') }} as decimal(5, 4)) * {{ total }} then 'A'
        when {{ greater_sum }} < cast({{ var('abc_b') }} as decimal(5, 4)) * {{ total }} then 'B'
        else 'C'
    end
{%- endmacro %}

{# The same by its number in the list from the greatest down. #}
{% macro abc_class_by_count(number, count) -%}
    case
        when {{ number }} <= ceil(cast(0.20 as decimal(3, 2)) * {{ count }}) then 'A'
        when {{ number }} <= ceil(cast(0.50 as decimal(3, 2)) * {{ count }}) then 'B'
        else 'C'
    end
{%- endmacro %}
