-- One row per deal, deleted ones too.
{{ only_supported('revenue_basis', ['deal_amount', 'invoice_paid', 'payment']) }}
{{ only_supported('repeat_rule', ['computed']) }}
{#- the profit of a sale whose amount is unknown is unknown too, although it adds 0 to the revenue -#}
{% set known_revenue_rc = "(case when outcome = 'won' then amount_rc else 0 end)"
    if var('revenue_basis') == 'deal_amount' else 'revenue_rc' %}
with deals as (
    select * from {{ ref('int_deals__scoped') }}
),

first_wins as (
    select client_key, min(won_at) as first_won_at from {{ ref('int_deals__won_numbers') }} group by client_key
),

products as (
    select
        deal_id,
        cast(sum(discount_rc) as decimal(18, 2)) as discount_rc,
        case when {{ count_if('not has_cost') }} = 0 then cast(sum(cost_rc) as decimal(18, 2)) end as cost_rc

    from {{ ref('fct_deal_products') }}
    group by deal_id
),

main_products as (
    select
        deal_id,
        product_key,
        row_number() over (partition by deal_id order by coalesce(row_amount_rc, 0) desc, row_id) as place

    from {{ ref('fct_deal_products') }}
    where row_id > 0
),

activities as (
    select
        owner_id as deal_id,
        max(created_at) as last_created_at

    from {{ ref('int_activities__scoped') }}
    where owner_type_id = 2 and is_in_scope
    group by owner_id
),

leads as (
    select * from {{ ref('int_leads__scoped') }} where is_in_scope
),

{% if var('revenue_basis') != 'deal_amount' -%}
received as (
    select deal_id, {{ sum_money('revenue_rc') }} as revenue_rc
    from {{ ref('int_deals__paid') }}
    group by deal_id
),

{% endif -%}
joined as (
    select
        deals.*,
        links.client_key,
        closed.closed_at,
        closed.won_at,
        closed.lost_at,
        closed.closed_date,
        closed.won_date,
        closed.lost_date,
        converted.amount_rc,
        converted.is_fx_approximate,
        {% if var('revenue_basis') == 'deal_amount' -%}
        cast(case when deals.outcome = 'won' then coalesce(converted.amount_rc, 0) else 0 end as decimal(18, 2))
            as revenue_rc,
        {%- else -%}
        coalesce(received.revenue_rc, 0) as revenue_rc,
        {%- endif %}
        products.discount_rc,
        products.cost_rc,
        greatest(
            coalesce(deals.last_activity_at, activities.last_created_at),
            coalesce(activities.last_created_at, deals.last_activity_at)
        ) as newest_activity_at,
        channels.channel_key,
        touches.first_touch_channel_key,
        touches.last_touch_channel_key,
        coalesce(leads.created_at, deals.created_at) as acquisition_at,
        won_numbers.client_won_number,
        case
            when deals.outcome = 'won' then coalesce(won_numbers.client_won_number > 1, false)
            else coalesce(first_wins.first_won_at < deals.created_at, false)
        end as is_repeat_sale,
        coalesce(main_products.product_key, 0) as main_product_key,
        progress.reopen_count,
        progress.lost_from_position,
        progress.has_history,
        case when deals.outcome = 'lost' then coalesce(reasons.loss_reason, stages.name, '#' || deals.stage_id) end
            as loss_reason

    from deals
    inner join {{ ref('int_deals__converted') }} as converted on converted.deal_id = deals.deal_id
    inner join {{ ref('int_deals__progress') }} as progress on progress.deal_id = deals.deal_id
    inner join products on products.deal_id = deals.deal_id
    inner join {{ ref('int_client_links') }} as links on links.entity = 'deal' and links.entity_id = deals.deal_id
    inner join {{ ref('int_channel_resolved') }} as channels
        on channels.entity = 'deal' and channels.entity_id = deals.deal_id
    left join {{ ref('int_deals__touches') }} as touches on touches.deal_id = deals.deal_id
    left join {{ ref('int_deals__closed') }} as closed on closed.deal_id = deals.deal_id
    left join {{ ref('int_deals__won_numbers') }} as won_numbers on won_numbers.deal_id = deals.deal_id
    left join first_wins on first_wins.client_key = links.client_key
    left join main_products on main_products.deal_id = deals.deal_id and main_products.place = 1
    left join activities on activities.deal_id = deals.deal_id
    left join leads on leads.lead_id = deals.lead_id
    {%- if var('revenue_basis') != 'deal_amount' %}
    left join received on received.deal_id = deals.deal_id
    {%- endif %}
    left join {{ ref('int_loss_reasons') }} as reasons
        on reasons.entity = 'deal' and reasons.entity_id = deals.deal_id
    left join {{ ref('dim_stage') }} as stages
        on
            stages.entity = 'deal'
            and stages.pipeline_key = deals.pipeline_key
            and stages.stage_id = deals.stage_id
)

select
    -- ids
    deal_id,
    pipeline_key,
    stage_id,
    manager_key,
    created_by_key,
    client_key,
    company_id,
    contact_id,
    lead_id,
    main_product_key,

    -- dimensions
    title,
    outcome,
    deal_type,
    channel_key,
    coalesce(first_touch_channel_key, channel_key) as first_touch_channel_key,
    coalesce(last_touch_channel_key, channel_key) as last_touch_channel_key,
    loss_reason,
    currency,

    -- measures
    amount,
    amount_rc,
    revenue_rc,
    cost_rc,
    {% if var('default_cost_rate') is none -%}
        cast({{ known_revenue_rc }} - cost_rc as decimal(18, 2)) as gross_profit_rc,
        ({{ known_revenue_rc }} - cost_rc) is not null as has_margin,
    {%- else -%}
        cast(
            coalesce(
                {{ known_revenue_rc }} - cost_rc,
                round(
                    cast({{ known_revenue_rc }} as decimal(38, 2))
                    * cast({{ 1 - var('default_cost_rate') }} as decimal(9, 6)),
                    2
                )
            ) as decimal(18, 2)
        ) as gross_profit_rc,
        {{ known_revenue_rc }} is not null as has_margin,
    {%- endif %}
    discount_rc,
    probability,
    client_won_number,
    reopen_count,
    lost_from_position,
    {{ days_between('created_date', 'won_date') }} as cycle_days,

    -- flags
    is_repeat_sale,
    is_return_customer as is_return_customer_b24,
    is_repeated_approach as is_repeated_approach_b24,
    is_fx_approximate,
    has_history,
    is_deleted,
    is_in_scope,

    -- times
    begin_date,
    close_date,
    created_at,
    created_date,
    closed_at,
    closed_date,
    won_at,
    won_date,
    lost_at,
    lost_date,
    moved_at,
    newest_activity_at as last_activity_at,
    acquisition_at,
    modified_at,
    deleted_at,
    loaded_at

from joined
