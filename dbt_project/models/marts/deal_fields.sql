{{ config(contract={'enforced': false}) }}
-- One row per deal: its custom fields under readable names, values decoded. Columns follow the portal's.
{{ custom_field_table('CRM_DEAL', 'deals', to_id('id'), 'deal_id') }}
