-- One row per contact: its custom fields under readable names, values decoded.
{{ custom_field_table('CRM_CONTACT', 'contacts', contact_client_key(to_id('id')), 'client_key') }}
