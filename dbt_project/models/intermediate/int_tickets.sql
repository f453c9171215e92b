-- One row per support ticket: an item of a smart process, a deal, or a session of an open line, as support_sources says.
{{ config(materialized='table') }}
{% set session_end -%}
    case when sessions.is_completed
        then coalesce(greatest(sessions.completed_at, messages.last_at), sessions.completed_at) end
{%- endset %}

with sources as (
    select * from {{ ref('stg_files__support_sources') }}
),

items as (
    select * from {{ ref('fct_process_items') }}
),

reopened_items as (
    select entity_type_id, item_id, count(*) as reopen_count
    from {{ ref('fct_process_stage_history') }}
    where is_reopen
    group by entity_type_id, item_id
),

deals as (
    select * from {{ ref('fct_deals') }}
),

-- a session that was handed on may have several activities; the first one is its card
sessions as (
    select
        session.session_id,
        activities.*,
        row_number() over (partition by session.session_id order by activities.activity_id) as place
    from {{ ref('int_openlines__sessions') }} as session
    inner join {{ ref('fct_activities') }} as activities on activities.activity_id = session.activity_id
),

messages as (
    select
        session_id,
        min(sent_at) as first_at,
        max(sent_at) as last_at,
        min(case when {{ is_operators_message('chat') }} then sent_at end) as answered_at
    from {{ ref('stg_bitrix24__openline_sessions') }} as chat
    where not is_deleted
    group by session_id
),

candidates as (
    select
        'process_' || cast(items.entity_type_id as varchar) || '_' || cast(items.item_id as varchar) as ticket_key,
        'process' as source_type,
        items.entity_type_id,
        items.item_id,
        items.client_key,
        items.manager_key,
        'unknown' as channel_key,
        sources.topic_field,
        sources.pipeline_key is not null as is_exact,
        coalesce(reopened_items.reopen_count, 0) as reopen_count,
        items.is_deleted,
        items.is_in_scope,
        items.created_at,
        cast(null as timestamptz) as answered_at,
        case when items.outcome = 'won' then items.closed_at end as resolved_at,
        items.closed_at,
        items.modified_at,
        items.deleted_at,
        items.loaded_at
    from sources
    inner join items
        on
            items.entity_type_id = coalesce(sources.entity_type_id, items.entity_type_id)
            and items.pipeline_key = coalesce(sources.pipeline_key, items.pipeline_key)
    left join reopened_items
        on reopened_items.entity_type_id = items.entity_type_id and reopened_items.item_id = items.item_id
    where sources.source_type = 'process'

    union all

    select
        'pipeline_' || cast(deals.deal_id as varchar),
        'pipeline',
        2,
        deals.deal_id,
        deals.client_key,
        deals.manager_key,
        deals.channel_key,
        sources.topic_field,
        sources.pipeline_key is not null,
        deals.reopen_count,
        deals.is_deleted,
        deals.is_in_scope,
        deals.created_at,
        null,
        deals.won_at,
        deals.closed_at,
        deals.modified_at,
        deals.deleted_at,
        deals.loaded_at
    from sources
    inner join deals on deals.pipeline_key = coalesce(sources.pipeline_key, deals.pipeline_key)
    where sources.source_type = 'pipeline'

    union all

    select
        'openline_' || cast(sessions.session_id as varchar),
        'openline',
        cast(null as bigint),
        sessions.session_id,
        sessions.client_key,
        sessions.manager_key,
        coalesce(channels.channel_key, 'unknown'),
        null,
        true,
        0,
        sessions.is_deleted,
        sessions.is_in_scope,
        coalesce(messages.first_at, sessions.created_at),
        messages.answered_at,
        {{ session_end }},
        {{ session_end }},
        sessions.modified_at,
        sessions.deleted_at,
        sessions.loaded_at
    from (select distinct source_type from sources where source_type = 'openline') as sources
    inner join sessions on sessions.place = 1
    left join messages on messages.session_id = sessions.session_id
    left join {{ ref('dim_channel') }} as channels on channels.channel_key = 'openline'
),

-- a line that names the pipeline goes before one of all pipelines
ranked as (
    select
        *,
        row_number() over (partition by ticket_key order by case when is_exact then 0 else 1 end, topic_field) as place
    from candidates
),

topics as (
    select entity_type_id, item_id, field_code, value from {{ ref('int_tickets__fields') }}
)

select
    ranked.ticket_key,
    ranked.source_type,
    cast(ranked.entity_type_id as bigint) as entity_type_id,
    ranked.item_id,
    ranked.client_key,
    ranked.manager_key,
    ranked.channel_key,
    coalesce(topics.value, 'Не определено') as topic,
    cast(ranked.reopen_count as bigint) as reopen_count,
    ranked.is_deleted,
    ranked.is_in_scope,
    ranked.created_at,
    ranked.answered_at,
    ranked.resolved_at,
    ranked.closed_at,
    ranked.modified_at,
    ranked.deleted_at,
    ranked.loaded_at
from ranked
left join topics
    on
        topics.entity_type_id = ranked.entity_type_id
        and topics.item_id = ranked.item_id
        and topics.field_code = upper(ranked.topic_field)
-- a card without a moment belongs to no month
where ranked.place = 1 and ranked.created_at is not null
