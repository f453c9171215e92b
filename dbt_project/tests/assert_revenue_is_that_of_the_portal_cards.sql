-- Won amounts summed per currency and day of closing straight from staging, then converted, give the revenue of every
-- month (C27). Sums are converted instead of deals here, so each deal may differ by half a kopeck.
with deals as (
    select *
    from {{ ref('stg_bitrix24__deals') }}
    where
        stage_semantics = 'S'
        and not is_deleted
        and not is_recurring
        and not {{ in_var_list('pipeline_key', 'excluded_category_ids') }}
        and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }}
        and not {{ is_test_title('title') }}
),

changes as (
    select
        deal_id,
        stage_id,
        entered_at,
        stage_change_id,
        row_number() over (partition by deal_id order by entered_at desc, stage_change_id desc) as change_number,
        -- the last change away from another stage begins the last stay
        max(case when stage_id <> last_stage_id then stage_change_id end) over (partition by deal_id) as other_change_id
    from (
        select
            *,
            last_value(stage_id) over (
                partition by deal_id order by entered_at, stage_change_id
                rows between unbounded preceding and unbounded following
            ) as last_stage_id
        from {{ ref('stg_bitrix24__deal_stage_history') }}
    ) as history
),

closings as (
    select changes.deal_id, changes.stage_id, min(changes.entered_at) as closed_at
    from changes
    where changes.stage_change_id > coalesce(changes.other_change_id, 0)
    group by changes.deal_id, changes.stage_id
),

dated as (
    select
        deals.deal_id,
        deals.currency,
        deals.amount,
        {% if var('close_date_source') == 'closedate' -%}
        coalesce(deals.close_date, {{ local_date('closings.closed_at') }}, {{ local_date('deals.moved_at') }}) as closed_date
        {%- else -%}
        coalesce({{ local_date('closings.closed_at') }}, {{ local_date('deals.moved_at') }}, deals.close_date) as closed_date
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
        coalesce(max(case when rates.rate_date <= daily.closed_date then rates.rate_date end), min(rates.rate_date)) as rate_date
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
