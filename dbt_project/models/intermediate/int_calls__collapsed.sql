-- One row per call: the legs of one CALL_ID collapse into the lowest connected leg, else the lowest leg (D18).
with legs as (
    select
        *,
        coalesce(call_code, 'leg ' || cast(call_leg_id as varchar)) as call_group,
        coalesce(result_code = '200' and duration_seconds > 0, false) as is_connected
    from {{ ref('stg_bitrix24__calls') }}
),

chosen as (
    select
        min(call_leg_id) as call_id,
        min(started_at) as call_started_at,
        coalesce(min(case when is_connected then call_leg_id end), min(call_leg_id)) as chosen_leg_id
    from legs
    group by call_group
),

calls as (
    select
        chosen.call_id,
        chosen.call_started_at,
        legs.*,
        case when legs.call_type in (1, 4) then 'out' when legs.call_type in (2, 3) then 'in' else 'info' end as direction
    from chosen
    inner join legs on legs.call_leg_id = chosen.chosen_leg_id
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
