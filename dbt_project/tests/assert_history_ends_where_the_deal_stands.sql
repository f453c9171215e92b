{{ config(severity='warn') }}
-- C11: the last stay is in the deal's stage. History is read after deals, so it may run ahead for one run.
select deals.deal_id, deals.stage_id, stays.stage_id as last_stage_id
from {{ ref('fct_deals') }} as deals
inner join {{ ref('fct_deal_stage_history') }} as stays on stays.deal_id = deals.deal_id and stays.is_current
where not deals.is_deleted and stays.stage_id <> deals.stage_id
