-- A deal's lead that no list returned was deleted, or the webhook's user may not see it (C14).
{{ config(severity='warn') }}
select deals.deal_id, deals.lead_id
from {{ ref('fct_deals') }} as deals
left join {{ ref('fct_leads') }} as leads on leads.lead_id = deals.lead_id
where deals.is_in_scope and deals.lead_id is not null and leads.lead_id is null
