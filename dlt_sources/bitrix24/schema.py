"""Declared columns of every raw table: the contract between extraction and staging.

Every column is text, as the portal sent it: numbers keep their digits, times their offset, lists and
objects are JSON, booleans `true`/`false`; JSON null and an absent key are NULL, an empty string stays
empty. NUL characters are removed. A column's name is the wire's name in snake_case (`DATE_MODIFY`,
`dateModify` -> `date_modify`). Tables with custom fields also get one column per `UF_*` code
(`uf_crm_1720019876534`), as they appear.

Two columns are ours: `_loaded_at` (UTC instant of the run that read the row, by the portal's clock,
ISO 8601) and `_deleted_at` (the same kind; NULL while the row lives in the portal).
"""

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
LAST_ACTIVITY = ("last_activity_time", "last_activity_by")

LEADS = (
    "id", "title", "honorific", "name", "second_name", "last_name", "post",
    "company_title", "company_id", "contact_id", "is_return_customer",
    "source_id", "source_description", "status_id", "status_semantic_id", "status_description",
    "currency_id", "opportunity", "is_manual_opportunity", "opened", "has_phone", "has_email",
    "assigned_by_id", "created_by_id", "modify_by_id", "moved_by_id",
    "date_create", "date_modify", "moved_time", "date_closed",
    "originator_id", "origin_id", "address_city", *UTM, *LAST_ACTIVITY,
    "phone", "email",
)  # fmt: skip

DEALS = (
    "id", "title", "type_id", "category_id", "stage_id", "stage_semantic_id",
    "is_new", "is_recurring", "is_return_customer", "is_repeated_approach", "probability",
    "currency_id", "opportunity", "tax_value", "is_manual_opportunity",
    "company_id", "contact_id", "quote_id", "lead_id", "begindate", "closedate", "opened", "closed",
    "assigned_by_id", "created_by_id", "modify_by_id", "moved_by_id",
    "date_create", "date_modify", "moved_time", "source_id", "source_description",
    "originator_id", "origin_id", *UTM, *LAST_ACTIVITY,
)  # fmt: skip

CONTACTS = (
    "id", "honorific", "name", "second_name", "last_name", "post", "lead_id", "type_id",
    "source_id", "source_description", "company_id", "birthdate", "export", "has_phone", "has_email", "opened",
    "assigned_by_id", "created_by_id", "modify_by_id", "date_create", "date_modify",
    "originator_id", "origin_id", "address_city", *UTM, *LAST_ACTIVITY,
    "phone", "email",
)  # fmt: skip

COMPANIES = (
    "id", "title", "company_type", "industry", "employees", "revenue", "currency_id", "opened", "is_my_company",
    "has_phone", "has_email", "lead_id",
    "assigned_by_id", "created_by_id", "modify_by_id", "date_create", "date_modify",
    "originator_id", "origin_id", "address_city", *UTM, *LAST_ACTIVITY,
    "phone", "email",
)  # fmt: skip

DEAL_STAGE_HISTORY = ("id", "type_id", "owner_id", "created_time", "category_id", "stage_semantic_id", "stage_id")
LEAD_STAGE_HISTORY = ("id", "type_id", "owner_id", "created_time", "status_semantic_id", "status_id")

STATUSES = (
    "id", "entity_id", "status_id", "name", "name_init", "sort", "system", "category_id", "color", "semantics", "extra",
)  # fmt: skip
PIPELINES = ("id", "name", "sort", "entity_type_id", "is_default")
USERS = (
    "id", "active", "name", "last_name", "second_name", "email", "work_position", "uf_department",
    "uf_employment_date", "user_type", "date_register", "time_zone",
)  # fmt: skip
DEPARTMENTS = ("id", "name", "sort", "parent", "uf_head")

CURRENCIES = ("currency", "amount_cnt", "amount", "sort", "base", "full_name", "decimals", "date_update")
# the portal keeps no history of its rates, so each day's list is kept under the day it was seen (reporting zone)
CURRENCY_RATES = ("currency", "seen_date", "amount_cnt", "amount", "base")

ACTIVITIES = (
    "id", "owner_id", "owner_type_id", "type_id", "provider_id", "provider_type_id", "provider_group_id",
    "associated_entity_id", "subject", "created", "last_updated", "start_time", "end_time", "deadline",
    "completed", "status", "direction", "priority", "responsible_id", "author_id", "editor_id",
    "origin_id", "bindings",
)  # fmt: skip

CALLS = (
    "id", "call_id", "external_call_id", "session_id", "call_category", "call_type", "portal_user_id",
    "portal_number", "phone_number", "call_start_date", "call_duration", "call_failed_code", "call_failed_reason",
    "cost", "cost_currency", "call_vote", "crm_entity_type", "crm_entity_id", "crm_activity_id",
)  # fmt: skip

TASKS = (
    "id", "title", "status", "sub_status", "mark", "priority", "parent_id", "group_id", "stage_id", "flow_id",
    "created_by", "responsible_id", "changed_by", "closed_by",
    "created_date", "changed_date", "status_changed_date", "closed_date", "date_start", "deadline",
    "time_estimate", "time_spent_in_logs", "uf_crm_task",
)  # fmt: skip

TIME_ENTRIES = ("id", "task_id", "user_id", "seconds", "minutes", "source", "created_date", "date_start", "date_stop")

# a row per custom field of leads, deals, contacts, companies; entity_id is CRM_LEAD, CRM_DEAL, ...
CUSTOM_FIELDS = (
    "entity_id", "field_name", "id", "user_type_id", "multiple", "mandatory", "sort",
    "edit_form_label", "list_column_label", "settings",
)  # fmt: skip
CUSTOM_FIELD_OPTIONS = ("entity_id", "field_name", "id", "value", "sort", "xml_id")

# replaced per owner (a deal); an owner that has no rows is kept as one row with a NULL id, as proof that it was read.
# _owner_date_modify is the deal's date_modify at that moment: when it differs from the deal's, rows are read again.
DEAL_PRODUCT_ROWS = (
    "owner_id", "id", "owner_type", "product_id", "product_name", "price", "price_exclusive", "price_netto",
    "price_brutto", "quantity", "discount_type_id", "discount_rate", "discount_sum", "tax_rate", "tax_included",
    "customized", "measure_code", "measure_name", "sort", "type", "_owner_date_modify",
)  # fmt: skip

OURS = ("_loaded_at", "_deleted_at")

TABLES: dict[str, tuple[str, ...]] = {
    "leads": LEADS,
    "deals": DEALS,
    "contacts": CONTACTS,
    "companies": COMPANIES,
    "deal_stage_history": DEAL_STAGE_HISTORY,
    "lead_stage_history": LEAD_STAGE_HISTORY,
    "statuses": STATUSES,
    "pipelines": PIPELINES,
    "users": USERS,
    "departments": DEPARTMENTS,
    "currencies": CURRENCIES,
    "currency_rates": CURRENCY_RATES,
    "activities": ACTIVITIES,
    "calls": CALLS,
    "tasks": TASKS,
    "time_entries": TIME_ENTRIES,
    "custom_fields": CUSTOM_FIELDS,
    "custom_field_options": CUSTOM_FIELD_OPTIONS,
    "deal_product_rows": DEAL_PRODUCT_ROWS,
}
WITH_CUSTOM_FIELDS = ("leads", "deals", "contacts", "companies")
KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TABLES, ("id",)),
    "statuses": ("entity_id", "status_id"),
    "currencies": ("currency",),
    "currency_rates": ("currency", "seen_date"),
    "custom_fields": ("entity_id", "field_name"),
    "custom_field_options": ("entity_id", "field_name", "id"),
    "deal_product_rows": ("owner_id",),  # a merge key: all rows of an owner are replaced together
}
