{# Amounts recognised as revenue, each with its day, as a subquery with the deal they belong to: the amount of a won deal on
   the day it was won or, by var revenue_basis, what was received for a deal, won or not, on the days of payment. #}
{% macro revenue_rows() -%}
    (
        {%- if var('revenue_basis') == 'deal_amount' %}
        select *, won_date as revenue_date
        from {{ ref('fct_deals') }}
        where is_in_scope and outcome = 'won'
        {%- else %}
        select
            deals.deal_id,
            deals.pipeline_key,
            deals.manager_key,
            deals.client_key,
            deals.last_touch_channel_key,
            deals.is_repeat_sale,
            paid.revenue_date,
            paid.revenue_rc
        from {{ ref('int_deals__paid') }} as paid
        inner join {{ ref('fct_deals') }} as deals on deals.deal_id = paid.deal_id
        {%- endif %}
    )
{%- endmacro %}

{# The part of an amount (in kopecks) that falls to a product row: what falls to it and all rows before it, less what falls
   to those before it, so that rounding never loses a kopeck. #}
{% macro allocated_part(kopecks, kopecks_up_to, row_kopecks, kopecks_of_rows) -%}
    {{ from_kopecks(
        divide_rounded('(' ~ kopecks ~ ' * ' ~ kopecks_up_to ~ ')', kopecks_of_rows)
        ~ ' - '
        ~ divide_rounded('(' ~ kopecks ~ ' * (' ~ kopecks_up_to ~ ' - ' ~ row_kopecks ~ '))', kopecks_of_rows)
    ) }}
{%- endmacro %}
