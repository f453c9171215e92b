-- One row per deal and contact of it.
select deal_id, contact_id, is_primary
from {{ ref('int_deals__contacts') }}
