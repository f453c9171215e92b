-- C10: at the first stage each funnel holds every counted deal. A pipeline whose stages the portal never listed has
-- no path to stand on; every_deal_has_a_path tells of those.
with mart as (
    select
        types.funnel_type,
        coalesce(sum(funnel.deals_total), 0) as deals
    from (select 'conversion' as funnel_type union all select 'classic') as types
    left join {{ ref('funnel_stage_conversion') }} as funnel
        on funnel.funnel_type = types.funnel_type and funnel.stage_position = 1
    group by types.funnel_type
),

facts as (
    select count(*) as deals
    from {{ ref('fct_deals') }} as deals
    inner join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = deals.pipeline_key
    where deals.is_in_scope and pipelines.path_stage_count > 0
)

select mart.funnel_type, mart.deals as mart_deals, facts.deals as fact_deals
from mart
cross join facts
where mart.deals <> facts.deals
