-- One row per company: its custom fields under readable names, values decoded.
{{ custom_field_table('CRM_COMPANY', 'companies', company_client_key(to_id('id')), 'client_key') }}
