-- One row per day, UTM source, medium and campaign.
select
    date as visit_date,
    utm_source,
    utm_medium,
    utm_campaign,
    visits,
    coalesce(users, 0) as users,
    coalesce(goal_reaches, 0) as goal_reaches,
    loaded_at
from {{ ref('stg_files__web_sessions') }}
