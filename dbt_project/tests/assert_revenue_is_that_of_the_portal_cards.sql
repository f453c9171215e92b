-- Won amounts summed per currency and day of closing straight from staging, then converted, give the revenue of every
-- month (C27). Sums are converted instead of deals here, so each deal may differ by half a kopeck. Revenue by payment is
-- not written on the cards.
{{ config(enabled=var('revenue_basis') == 'deal_amount') }}
with deals as (
    select cards.*
    from {{ ref('stg_bitrix24__deals') }} as cards
    inner join {{ ref('int_deals__scoped') }} as responsible on responsible.deal_id = cards.deal_id
    where
        cards.stage_semantics = 'S'
        and not cards.is_deleted
        and not cards.is_recurring
        and not {{ in_var_list('cards.pipeline_key', 'excluded_category_ids') }}
        and not {{ in_var_list('responsible.manager_key', 'excluded_user_ids') }}
        and not {{ is_test_title('cards.title') }}
),

changes as (
    select
        deal_id,
        stage_id,
        entered_at,
        row_number() over (partition by deal_id order by entered_at desc, stage_change_id desc) as place_from_end
    from {{ ref('stg_bitrix24__deal_stage_history') }}
    where deal_id in (select deal_id from deals)
),

last_stages as (
    select deal_id, stage_id from changes where place_from_end = 1
),

-- the newest record of another stage: everything after it is the last stay
other_stages as (
    select last_stages.deal_id, min(changes.place_from_end) as place_from_end
    from last_stages
    inner join changes on changes.deal_id = last_stages.deal_id and changes.stage_id <> last_stages.stage_id
    group by last_stages.deal_id
),

closings as (
    select last_stages.deal_id, last_stages.stage_id, min(changes.entered_at) as closed_at
    from last_stages
    inner join changes on changes.deal_id = last_stages.deal_id
    left join other_stages on other_stages.deal_id = last_stages.deal_id
    where other_stages.place_from_end is null or changes.place_from_end < other_stages.place_from_end
    group by last_stages.deal_id, last_stages.stage_id
),

dated as (
    select
        deals.deal_id,
        deals.currency,
        deals.amount,
        {% if var('close_date_source') == 'closedate' -%}
        coalesce(
            deals.close_date,
            {{ local_date('closings.closed_at') }},
            {{ local_date('deals.moved_at') }},
            {{ local_date('deals.modified_at') }}
        ) as closed_date
        {%- else -%}
        coalesce(
            {{ local_date('closings.closed_at') }},
            {{ local_date('deals.moved_at') }},
            deals.close_date,
            {{ local_date('deals.modified_at') }}
        ) as closed_date
        {%- endif %}
    from deals
    left join closings on closings.deal_id = deals.deal_id and closings.stage_id = deals.stage_id
),

daily as (
    select currency, closed_date, sum(amount) as amount, count(*) as deals_won
    from dated
    group by currency, closed_date
),

-- the newest rate not later than the day, else the earliest of all
rate_days as (
    select
        daily.currency,
        daily.closed_date,
        coalesce(
            max(case when rates.rate_date <= daily.closed_date then rates.rate_date end), min(rates.rate_date)
        ) as rate_date
    from daily
    inner join {{ ref('fx_rates_daily') }} as rates on rates.currency = daily.currency
    group by daily.currency, daily.closed_date
),

recomputed as (
    select
        {{ month_of('daily.closed_date') }} as period_month,
        sum(daily.deals_won) as deals_won,
        sum(cast(coalesce(daily.amount, 0) as double) * cast(rates.rate_to_rc as double)) as revenue
    from daily
    inner join rate_days on rate_days.currency = daily.currency and rate_days.closed_date = daily.closed_date
    inner join {{ ref('fx_rates_daily') }} as rates
        on rates.currency = rate_days.currency and rates.rate_date = rate_days.rate_date
    where {{ month_of('daily.closed_date') }} <= {{ month_of(as_of_date()) }}
    group by period_month
),

marts as (
    select period_month, sum(revenue) as revenue
    from {{ ref('manager_performance') }}
    group by period_month
)

select
    coalesce(recomputed.period_month, marts.period_month) as period_month,
    recomputed.revenue as cards_revenue,
    marts.revenue as mart_revenue
from recomputed
full outer join marts on marts.period_month = recomputed.period_month
where
    abs(coalesce(recomputed.revenue, 0) - coalesce(cast(marts.revenue as double), 0))
    > 0.005 * coalesce(recomputed.deals_won, 0) + 0.005
