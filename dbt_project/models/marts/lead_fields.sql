{{ config(contract={'enforced': false}) }}
-- One row per lead: its custom fields under readable names, values decoded. Columns follow the portal's.
{{ custom_field_table('CRM_LEAD', 'leads', to_id('id'), 'lead_id') }}
