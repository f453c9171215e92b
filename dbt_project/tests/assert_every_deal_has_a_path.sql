{{ config(severity='warn') }}
-- Deals in a pipeline whose stages the portal does not list: the funnels cannot show them.
select deals.deal_id, deals.pipeline_key
from {{ ref('fct_deals') }} as deals
inner join {{ ref('dim_pipeline') }} as pipelines on pipelines.pipeline_key = deals.pipeline_key
where deals.is_in_scope and pipelines.path_stage_count = 0
