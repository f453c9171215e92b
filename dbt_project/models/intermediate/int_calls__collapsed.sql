-- One row per call: the legs of one CALL_ID collapse into the lowest connected leg, else the lowest leg (D18).
{{ config(materialized='table') }}

with legs as (
    select
        *,
        coalesce(call_code, 'leg ' || cast(call_leg_id as varchar)) as call_group,
        coalesce(result_code = '200' and duration_seconds > 0, false) as is_connected
    from {{ ref('stg_bitrix24__calls') }}
),

ranked as (
    select
        *,
        min(call_leg_id) over (partition by call_group) as call_id,
        min(started_at) over (partition by call_group) as call_started_at,
        row_number() over (
            partition by call_group
            order by case when is_connected then 0 else 1 end, call_leg_id
        ) as leg_number
    from legs
),

calls as (
    select
        *,
        case when call_type in (1, 4) then 'out' when call_type in (2, 3) then 'in' else 'info' end as direction
    from ranked
    where leg_number = 1
)

select
    -- ids
    call_id,
    coalesce(manager_id, 0) as manager_key,
    crm_entity_type,
    crm_entity_id,
    activity_id,

    -- dimensions
    direction,
    result_code,
    portal_number,
    {{ phone_hash('phone_number') }} as phone_hash,
    currency,

    -- measures
    duration_seconds,
    vote,
    cost,

    -- flags
    coalesce(call_type = 4, false) as is_callback,
    is_connected,
    (
        direction = 'in'
        and not is_connected
        {%- if var('missed_codes') != 'all_but_200' %}
        and {{ in_var_list('result_code', 'missed_codes') }}
        {%- endif %}
    ) as is_missed,
    is_connected and duration_seconds < {{ var('short_call_seconds') }} as is_short,
    is_deleted,
    (
        not is_deleted
        and direction <> 'info'
        and not {{ in_var_list('coalesce(manager_id, 0)', 'excluded_user_ids') }}
    ) as is_in_scope,

    -- times
    call_started_at as started_at,
    {{ local_date('call_started_at') }} as started_date,
    deleted_at,
    loaded_at

from calls
