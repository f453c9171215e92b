{# Division of the marts: null without a denominator, never 0 or infinity. A share, four digits. #}
{% macro ratio(numerator, denominator) -%}
    case
        when coalesce({{ denominator }}, 0) = 0 then null
        else round(cast({{ numerator }} as double) / cast({{ denominator }} as double), 4)
    end
{%- endmacro %}

{# The same for money: two digits, divided in whole kopecks so that a half is rounded exactly. #}
{% macro avg_money(amount, denominator) -%}
    case
        when coalesce({{ denominator }}, 0) = 0 then null
        else {{ from_kopecks(divide_rounded(to_kopecks(amount), 'cast(' ~ denominator ~ ' as hugeint)')) }}
    end
{%- endmacro %}

{% macro median(expression) -%} quantile_cont({{ expression }}, 0.5) {%- endmacro %}

{# Integer division of hugeints, half away from zero: decimal division would give a double. #}
{% macro divide_rounded(numerator, denominator) -%}
    (
        sign({{ numerator }}) * sign({{ denominator }})
        * ((2 * abs({{ numerator }}) + abs({{ denominator }})) // (2 * abs({{ denominator }})))
    )
{%- endmacro %}

{% macro to_kopecks(amount) -%} cast(cast({{ amount }} as decimal(38, 2)) * 100 as hugeint) {%- endmacro %}

{% macro from_kopecks(kopecks) -%}
    try_cast(cast({{ kopecks }} as decimal(38, 0)) * cast(0.01 as decimal(3, 2)) as decimal(18, 2))
{%- endmacro %}

{# An amount in the reporting currency, two digits; null without a rate or when it does not fit. #}
{% macro to_rc(amount, rate) -%}
    try_cast(cast({{ amount }} as decimal(38, 2)) * cast({{ rate }} as decimal(18, 6)) as decimal(18, 2))
{%- endmacro %}

{# Code of the currency all marts are told in: var reporting_currency, else the portal's base currency. #}
{% macro reporting_currency() -%}
    {%- if var('reporting_currency') -%}
        {{ literal(var('reporting_currency') | upper | replace('RUR', 'RUB')) }}
    {%- else -%}
        (select max(currency) from {{ ref('stg_bitrix24__currencies') }} where is_base and is_listed)
    {%- endif -%}
{%- endmacro %}

{# Sum of money, 0 without rows. #}
{% macro sum_money(expression) -%} cast(coalesce(sum({{ expression }}), 0) as decimal(18, 2)) {%- endmacro %}

{# Sum of whole numbers, 0 without rows. #}
{% macro sum_count(expression) -%} cast(coalesce(sum({{ expression }}), 0) as bigint) {%- endmacro %}

{# How many rows the condition is true for. #}
{% macro count_if(condition) -%} count(case when {{ condition }} then 1 end) {%- endmacro %}

{# Seconds as hours, two digits. #}
{% macro hours(seconds) -%} round(cast({{ seconds }} as double) / 3600, 2) {%- endmacro %}

{# A price times a quantity in the reporting currency, two digits; null when it does not fit. Rounding 38 digits takes
   five times as long as all the rest, so what a double gives serves where it cannot err: below 10 million its error is
   less than a millionth of a kopeck. #}
{% macro row_amount_rc(price, quantity, rate) -%}
    {%- set product = 'cast(' ~ price ~ ' as double) * cast(' ~ quantity ~ ' as double) * cast(' ~ rate ~ ' as double)' -%}
    case
        when
            abs({{ product }}) < 1e7
            and abs(100 * ({{ product }}) - floor(100 * ({{ product }})) - 0.5) > 1e-5
            then cast({{ product }} as decimal(18, 2))
        -- the exact product has 18 decimals and room for 20 digits before them
        when abs({{ product }}) < 1e16 then try_cast({{ price }} * {{ quantity }} * {{ rate }} as decimal(18, 2))
    end
{%- endmacro %}
