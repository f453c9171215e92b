-- One row per activity that is the card of a session of an open line; a session that was handed on may have several.
select associated_entity_id as session_id, activity_id
from {{ ref('stg_bitrix24__activities') }}
where provider_id = 'IMOPENLINES_SESSION' and associated_entity_id is not null
