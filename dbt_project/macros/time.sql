{# "Now" of every model: var as_of, else the start of the newest run by the portal's clock. #}
{% macro as_of() -%}
    {%- if var('as_of') is not none -%}
        cast({{ literal(var('as_of')) }} as timestamptz)
    {%- else -%}
        {{ newest_as_of(source('ops', 'sync_runs')) }}
    {%- endif -%}
{%- endmacro %}

{# What dbt's snapshots call now: the portal's clock, like everything else. #}
{% macro snapshot_get_time() -%} {{ as_of() }} {%- endmacro %}

{% macro newest_as_of(runs) -%}
    {%- if not execute -%} cast(null as timestamptz)
    {%- else -%}
        {%- set newest = run_query(
            "select strftime(as_of at time zone 'UTC', '%Y-%m-%d %H:%M:%S.%f+00') from " ~ runs
            ~ " order by started_at desc limit 1"
        ).columns[0].values() | first -%}
        {%- if not newest -%}
            {{ exceptions.raise_compiler_error(
                "ops.sync_runs has no run yet, so there is no moment to build for."
                ~ " Run `b24 sync`, or give one: --vars '{as_of: 2026-01-31T09:00:00+03:00}'."
            ) }}
        {%- endif -%}
        cast('{{ newest }}' as timestamptz)
    {%- endif -%}
{%- endmacro %}

{% macro as_of_date() -%} {{ local_date(as_of()) }} {%- endmacro %}

{# An instant becomes a calendar date here and nowhere else: in the reporting zone. #}
{% macro local_time(instant) -%} (({{ instant }}) at time zone {{ literal(var('reporting_tz')) }}) {%- endmacro %}

{% macro local_date(instant) -%} cast({{ local_time(instant) }} as date) {%- endmacro %}

{% macro local_month(instant) -%} {{ month_of(local_time(instant)) }} {%- endmacro %}

{# First day of the month of a date; date_trunc's own type differs between versions. #}
{% macro month_of(day) -%} cast({{ dbt.date_trunc('month', day) }} as date) {%- endmacro %}

{# The instant at which a date begins in the reporting zone. #}
{% macro local_midnight(day) -%}
    (cast({{ day }} as timestamp) at time zone {{ literal(var('reporting_tz')) }})
{%- endmacro %}

{# Whole seconds of the clock; date_diff asks the calendar of a zone for the same number and takes thirty times as long. #}
{% macro seconds_between(start, finish) -%}
    (epoch_us({{ finish }}) // 1000000 - epoch_us({{ start }}) // 1000000)
{%- endmacro %}

{% macro days_between(start, finish) -%} date_diff('day', {{ start }}, {{ finish }}) {%- endmacro %}

{# A date moved by whole days, months or years. #}
{% macro shift_date(unit, count, day) -%} cast({{ dbt.dateadd(unit, count, day) }} as date) {%- endmacro %}

{# One row per day, column date_day, both ends included. #}
{% macro date_spine(first_day, last_day) -%}
    select cast(day as date) as date_day
    from generate_series(cast({{ first_day }} as timestamp), cast({{ last_day }} as timestamp), interval 1 day)
        as spine (day)
{%- endmacro %}
