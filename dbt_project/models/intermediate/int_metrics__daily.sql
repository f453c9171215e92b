-- One row per day with any event, pipeline (-1: all) and metric that periods are compared by.
{% set metrics = ['deals_created', 'deals_won', 'deals_lost', 'revenue', 'lost_amount', 'leads'] -%}
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

events as (
    select created_date as date_day, pipeline_key, 1 as deals_created, 0 as deals_won, 0 as deals_lost, 0 as revenue,
        0 as lost_amount, 0 as leads
    from deals

    union all

    select won_date as date_day, pipeline_key, 0, 1, 0, 0, 0, 0
    from deals
    where outcome = 'won'

    union all

    select revenue_date as date_day, pipeline_key, 0, 0, 0, revenue_rc, 0, 0
    from {{ revenue_rows() }} as sales

    union all

    select lost_date as date_day, pipeline_key, 0, 0, 1, 0, amount_rc, 0
    from deals
    where outcome = 'lost'
),

all_events as (
    select * from events

    union all

    select date_day, -1 as pipeline_key, deals_created, deals_won, deals_lost, revenue, lost_amount, leads
    from events

    union all

    -- leads belong to no pipeline
    select created_date as date_day, -1 as pipeline_key, 0, 0, 0, 0, 0, 1
    from {{ ref('fct_leads') }}
    where is_in_scope
)

{% for metric in metrics -%}
select
    date_day,
    pipeline_key,
    '{{ metric }}' as metric,
    {{ sum_money(metric) }} as value
from all_events
{%- if metric == 'leads' %}
where pipeline_key = -1
{%- endif %}
group by date_day, pipeline_key
{% if not loop.last %}
union all

{% endif %}
{%- endfor %}
