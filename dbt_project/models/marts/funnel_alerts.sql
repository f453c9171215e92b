-- One row per check day, pipeline, stage and kind of alert that gave the alarm. What was told once stays told:
-- each run adds the alerts of its own check day, and neither later data nor a full refresh takes one back.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='append_new_columns'
) }}
{% set check_day = shift_date('day', -1, as_of_date()) -%}
{% set recent_days, base_days = var('alert_days') -%}
with flow as (
    select
        *,
        date_day > {{ shift_date('day', -recent_days, check_day) }} as is_recent
    from {{ ref('funnel_stage_flow') }}
    where
        date_day <= {{ check_day }}
        and date_day > {{ shift_date('day', -recent_days - base_days, check_day) }}
),

counted as (
    select
        pipeline_key,
        stage_id,
        {{ sum_count('case when is_recent then exits - exits_moved - exits_other end') }} as n1,
        {{ sum_count('case when not is_recent then exits - exits_moved - exits_other end') }} as n0,
        {{ sum_count('case when is_recent then exits_forward end') }} as forward1,
        {{ sum_count('case when not is_recent then exits_forward end') }} as forward0

    from flow
    group by pipeline_key, stage_id
),

shares as (
    select
        *,
        cast(forward1 as double) / nullif(n1, 0) as share1,
        cast(forward0 as double) / nullif(n0, 0) as share0,
        cast(forward1 + forward0 as double) / nullif(n1 + n0, 0) as pooled
    from counted
),

compared as (
    select
        *,
        {{ ratio('share1', 1) }} as c1,
        {{ ratio('share0', 1) }} as c0,
        {{ ratio('share1 - share0', 'share0') }} as relative_change,
        (share1 - share0) / nullif(sqrt(pooled * (1 - pooled) * (1.0 / nullif(n1, 0) + 1.0 / nullif(n0, 0))), 0)
            as z_score
    from shares
),

thresholds as (
    select pipeline_key, stage_id, cast(max(min_conversion) as double) as threshold
    from {{ ref('stg_files__funnel_alert_thresholds') }}
    group by pipeline_key, stage_id
),

-- the run of months without a sale belongs to the channel and is repeated on the rows of its campaigns
channels as (
    select distinct channel_name_ru
    from {{ ref('channel_roi') }}
    where
        attribution_model = 'last_touch'
        and date_basis = 'event'
        and period_month = {{ month_of(check_day) }}
        and zero_conversion_months >= 2
),

fired as (
    select
        'below_threshold' as alert_type, compared.pipeline_key, compared.stage_id, null as channel_names,
        compared.n1, compared.n0, compared.c1, compared.c0, compared.relative_change, compared.z_score,
        thresholds.threshold
    from compared
    inner join thresholds
        on thresholds.pipeline_key = compared.pipeline_key and thresholds.stage_id = compared.stage_id
    where compared.n1 >= {{ var('alert_min_exits') }} and compared.c1 < thresholds.threshold

    union all

    select 'drop_vs_base', pipeline_key, stage_id, null, n1, n0, c1, c0, relative_change, z_score, null
    from compared
    where
        n1 >= {{ var('alert_min_exits') }}
        and n0 >= {{ var('alert_min_exits') }}
        and relative_change <= -{{ var('alert_drop') }}
        and z_score <= -{{ var('alert_z') }}

    union all

    select
        'channel_no_sales', -1, '', {{ dbt.listagg('channel_name_ru', "', '", 'order by channel_name_ru') }},
        null, null, null, null, null, null, null
    from channels
    having count(*) > 0
),

labelled as (
    select
        {{ check_day }} as date_day,
        cast(fired.pipeline_key as bigint) as pipeline_key,
        case when fired.pipeline_key = -1 then 'Все воронки' else pipelines.name end as pipeline_name,
        fired.stage_id,
        case when fired.stage_id = '' then 'Все стадии' else stages.name end as stage_name,
        fired.alert_type,
        fired.channel_names,
        case when fired.relative_change <= -0.40 then 'critical' else 'warning' end as severity,
        fired.n1,
        fired.n0,
        fired.c1,
        fired.c0,
        fired.relative_change,
        round(fired.z_score, 4) as z_score,
        cast(fired.threshold as double) as threshold

    from fired
    left join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = fired.pipeline_key
    left join {{ ref('dim_stage') }} as stages
        on
            stages.entity = 'deal'
            and stages.pipeline_key = fired.pipeline_key
            and stages.stage_id = fired.stage_id
)

select labelled.*
from labelled
{%- if is_incremental() %}
left join {{ this }} as told
    on
        told.date_day = labelled.date_day
        and told.pipeline_key = labelled.pipeline_key
        and told.stage_id = labelled.stage_id
        and told.alert_type = labelled.alert_type
where told.date_day is null
{%- endif %}
