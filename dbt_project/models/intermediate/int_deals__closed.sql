-- One row per won or lost deal, deleted ones too: when it was closed.
{{ config(materialized='table') }}
{{ only_supported('close_date_source', ['stage_history', 'closedate']) }}
with deals as (
    select
        deal_id,
        stage_id,
        case stage_semantics when 'S' then 'won' else 'lost' end as outcome,
        close_date,
        moved_at,
        modified_at
    from {{ ref('stg_bitrix24__deals') }}
    where stage_semantics in ('S', 'F')
),

last_visits as (
    select * from {{ ref('int_deals__stage_visits') }} where is_current
),

moments as (
    select
        deals.deal_id,
        deals.outcome,
        -- the field CLOSEDATE is editable, so the history is asked first; every deal has a time of its last change
        coalesce(
            {% if var('close_date_source') == 'closedate' %} {{ local_midnight('deals.close_date') }}, {% endif %}
            last_visits.entered_at,
            deals.moved_at,
            {{ local_midnight('deals.close_date') }},
            deals.modified_at
        ) as closed_at

    from deals
    left join last_visits on last_visits.deal_id = deals.deal_id and last_visits.stage_id = deals.stage_id
)

select
    deal_id,
    outcome,
    closed_at,
    case when outcome = 'won' then closed_at end as won_at,
    case when outcome = 'lost' then closed_at end as lost_at,
    {{ local_date('closed_at') }} as closed_date,
    case when outcome = 'won' then {{ local_date('closed_at') }} end as won_date,
    case when outcome = 'lost' then {{ local_date('closed_at') }} end as lost_date

from moments
