-- One row per check of the facts and kind of record that it looks at.
with deals as (
    select * from {{ ref('fct_deals') }} where is_in_scope
),

leads as (
    select * from {{ ref('fct_leads') }} where is_in_scope
),

recent_leads as (
    select * from leads where created_at > {{ shift_hours(as_of(), -24 * 30) }}
),

known_currencies as (
    select distinct currency from {{ ref('fx_rates_daily') }}
),

amounts as (
    select 'deals' as subject, amount, amount_rc, currency from deals
    union all
    select 'leads', amount, amount_rc, currency from leads
    union all
    select 'smart_invoices', amount, amount_rc, currency from {{ ref('fct_invoices') }} where is_in_scope
    union all
    select 'payments', amount, amount_rc, currency from {{ ref('fct_payments') }} where is_in_scope
),

unconverted as (
    select
        amounts.subject,
        {{ count_if('amounts.amount is not null and amounts.amount_rc is null and known_currencies.currency is null') }}
            as without_rate,
        {{ count_if('amounts.amount is not null and amounts.amount_rc is null and known_currencies.currency is not null') }}
            as too_large
    from amounts
    left join known_currencies on known_currencies.currency = amounts.currency
    group by amounts.subject
),

-- what stands in the portal's field and fits no amount
misfits as (
    {% for table, column in [
        ('deals', 'opportunity'), ('leads', 'opportunity'), ('smart_invoices', 'opportunity'), ('payments', '"sum"')
    ] -%}
    select
        '{{ table }}' as subject,
        {{ count_if(to_text(column) ~ ' is not null and ' ~ to_money(column) ~ ' is null') }} as misfits
    from {{ source('bitrix24', table) }}
    where _deleted_at is null
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

stays as (
    select count(*) as unknown_stays
    from {{ ref('fct_deal_stage_history') }} as stays
    left join {{ ref('int_stages__positions') }} as listed
        on
            listed.entity = 'deal'
            and listed.pipeline_key = stays.pipeline_key
            and listed.stage_id = stays.stage_id
    where stays.is_in_scope and listed.stage_id is null
),

won_products as (
    select
        products.deal_id,
        max(deals.amount_rc) as amount_rc,
        {{ count_if('products.row_id > 0') }} as row_count,
        sum(products.row_amount_rc) as row_amount_rc,
        sum(products.allocated_amount_rc) as allocated_rc,
        sum(case when products.has_cost then products.allocated_amount_rc else 0 end) as allocated_with_cost_rc
    from {{ ref('fct_deal_products') }} as products
    inner join deals on deals.deal_id = products.deal_id
    where deals.outcome = 'won'
    group by products.deal_id
),

of_leads as (
    select
        {{ ratio(count_if("channel_key = 'unmapped'"), 'count(*)') }} as unmapped_share,
        {{ ratio(count_if("channel_key = 'unknown'"), 'count(*)') }} as unknown_share
    from recent_leads
),

of_deals as (
    select
        {{ ratio(count_if("client_key = 'unknown'"), 'count(*)') }} as unknown_client_share,
        {{ ratio(count_if('not has_history'), 'count(*)') }} as no_history_share,
        {{ ratio(count_if('is_fx_approximate'), 'count(*)') }} as approximate_share,
        {{ ratio(
            count_if("outcome = 'won' and client_key <> 'unknown' and is_repeat_sale <> is_return_customer_b24"),
            count_if("outcome = 'won' and client_key <> 'unknown'")
        ) }} as repeat_difference_share
    from deals
),

of_products as (
    select
        -- each row is rounded once
        {{ ratio(
            count_if('row_count > 0 and abs(row_amount_rc - amount_rc) > 0.01 * row_count'), count_if('row_count > 0')
        ) }} as difference_share,
        {{ ratio('sum(allocated_rc) - sum(allocated_with_cost_rc)', 'sum(allocated_rc)') }} as cost_missing_share
    from won_products
)

select 'unmapped_channel_share' as check_name, 'leads' as subject, unmapped_share as value from of_leads
union all
select 'unknown_channel_share', 'leads', unknown_share from of_leads
union all
select 'unknown_client_share', 'deals', unknown_client_share from of_deals
union all
select 'no_history_share', 'deals', no_history_share from of_deals
union all
select 'unknown_stage_rows', 'deals', unknown_stays from stays
union all
select 'fx_approximate_share', 'deals', approximate_share from of_deals
union all
select 'repeat_flag_difference_share', 'deals', repeat_difference_share from of_deals
union all
select 'product_rows_difference_share', 'deals', difference_share from of_products
union all
select 'cost_missing_share', 'deals', cost_missing_share from of_products
union all
select 'currency_unknown', subjects.subject, coalesce(unconverted.without_rate, 0)
from misfits as subjects
left join unconverted on unconverted.subject = subjects.subject
union all
select 'amount_out_of_range', misfits.subject, misfits.misfits + coalesce(unconverted.too_large, 0)
from misfits
left join unconverted on unconverted.subject = misfits.subject
