-- One row per employee and meeting: those of his calendar, and those of the CRM that stand in no calendar.
with events as (
    select *
    from {{ ref('stg_bitrix24__calendar_events') }}
    where
        calendar_type = 'user' and is_meeting and not is_all_day and not is_deleted
        and started_at is not null and ended_at is not null
),

links as (
    select started_at, unnest({{ json_elements('crm_links') }}) as link
    from events
),

-- REST tells no id of the event behind a meeting of the CRM: it begins at the same moment and names the same card
cards as (
    select distinct
        started_at,
        case
            when link like 'L$_%' escape '$' then 1
            when link like 'D$_%' escape '$' then 2
            when link like 'C$_%' escape '$' then 3
            when link like 'CO$_%' escape '$' then 4
        end as owner_type_id,
        cast({{ first_match('link', '^(?:L|D|C|CO)_([0-9]+)$') }} as bigint) as owner_id
    from links
),

crm_meetings as (
    select *
    from {{ ref('fct_activities') }}
    where activity_type = 'meeting' and is_in_scope and started_at is not null and ended_at is not null
),

in_calendars as (
    select distinct crm_meetings.activity_id
    from crm_meetings
    inner join {{ ref('bridge_activity_binding') }} as bindings on bindings.activity_id = crm_meetings.activity_id
    inner join cards
        on
            cards.started_at = crm_meetings.started_at
            and cards.owner_type_id = bindings.owner_type_id
            and cards.owner_id = bindings.owner_id
),

meetings as (
    select
        'calendar' as source,
        event_id as source_id,
        coalesce(owner_id, 0) as manager_key,
        started_at,
        ended_at
    from events
    where not {{ in_var_list('coalesce(owner_id, 0)', 'excluded_user_ids') }}

    union all

    select
        'crm' as source,
        crm_meetings.activity_id as source_id,
        crm_meetings.manager_key,
        crm_meetings.started_at,
        crm_meetings.ended_at
    from crm_meetings
    left join in_calendars on in_calendars.activity_id = crm_meetings.activity_id
    where in_calendars.activity_id is null
)

select
    source,
    source_id,
    manager_key,
    started_at,
    {{ local_date('started_at') }} as started_date,
    {{ seconds_between('started_at', 'ended_at') }} as seconds

from meetings
