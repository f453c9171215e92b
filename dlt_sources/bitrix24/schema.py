"""Declared columns of every raw table: the contract between extraction and staging.

Every column is text, as the portal sent it: numbers keep their digits, times their offset, lists and
objects are JSON, booleans `true`/`false`; JSON null and an absent key are NULL, an empty string stays
empty. NUL characters are removed. A column's name is the wire's name in snake_case (`DATE_MODIFY`,
`dateModify` -> `date_modify`). Tables with custom fields also get one column per `UF_*` code
(`uf_crm_1720019876534`), as they appear; a column `custom_fields` holds them all as one JSON object instead,
keyed by their codes.

Two columns are ours: `_loaded_at` (UTC instant of the run that read the row, by the portal's clock,
ISO 8601) and `_deleted_at` (the same kind; NULL while the row lives in the portal).
"""

CUSTOM_FIELD_PREFIX = "UF_"  # of their codes
# columns that crm.item.list calls otherwise than the lists of one entity do
ITEM_NAMES = {
    "date_create": "createdTime",
    "date_modify": "updatedTime",
    "created_by_id": "createdBy",
    "modify_by_id": "updatedBy",
    "moved_by_id": "movedBy",
}
# columns in which it says 0 where the list of deals says null: both mean that nothing is set
ZERO_IS_NULL = frozenset(
    {"company_id", "contact_id", "quote_id", "lead_id", "assigned_by_id", "moved_by_id", "probability", "tax_value"}
)
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

QUOTES = (
    "id", "quote_number", "title", "status_id", "currency_id", "opportunity", "tax_value",
    "company_id", "contact_id", "mycompany_id", "lead_id", "deal_id", "begindate", "closedate", "actual_date",
    "opened", "closed", "assigned_by_id", "created_by_id", "modify_by_id", "date_create", "date_modify",
    *UTM, *LAST_ACTIVITY, "custom_fields",
)  # fmt: skip

# smart invoices and the items of smart processes; what a type has switched off is null.
# parent_id<N> is the item of type N that the row belongs to: 1 lead, 2 deal, 7 quote, 31 smart invoice
_ITEMS = (
    "id", "title", "category_id", "stage_id", "previous_stage_id", "begindate", "closedate",
    "company_id", "contact_id", "mycompany_id", "parent_id2", "parent_id7",
    "opportunity", "is_manual_opportunity", "tax_value", "currency_id", "source_id", "source_description", "opened",
    "assigned_by_id", "created_by", "updated_by", "moved_by", "created_time", "updated_time", "moved_time",
    *LAST_ACTIVITY, "custom_fields",
)  # fmt: skip
SMART_INVOICES = (*_ITEMS, "account_number")
SMART_INVOICE_STAGE_HISTORY = DEAL_STAGE_HISTORY

PROCESS_TYPES = (
    "entity_type_id", "id", "title", "code", "custom_section_id", "created_by", "updated_by",
    "created_time", "updated_time", "is_categories_enabled", "is_stages_enabled", "is_begin_close_dates_enabled",
    "is_client_enabled", "is_link_with_products_enabled", "is_mycompany_enabled", "is_source_enabled",
)  # fmt: skip
PROCESS_ITEMS = ("entity_type_id", *_ITEMS, "contact_ids", "parent_id1", "parent_id31")
PROCESS_STAGE_HISTORY = ("entity_type_id", *DEAL_STAGE_HISTORY)

# all links of a row as a JSON list of ids, the primary one too; updated_time is that of the row
DEAL_CONTACTS = ("id", "contact_ids", "updated_time")
CONTACT_COMPANIES = ("id", "company_ids", "updated_time")

PAYMENTS = (
    "id", "order_id", "account_number", "paid", "date_paid", "date_bill", "date_pay_before", "sum", "currency",
    "pay_system_id", "pay_system_name", "pay_system_is_cash", "is_return", "pay_return_date", "responsible_id",
    "xml_id",
)  # fmt: skip
ORDER_ENTITIES = ("order_id", "owner_type_id", "owner_id")

CATALOGS = ("id", "iblock_id", "name", "product_iblock_id", "sku_property_id")
# parent_id: the product of a variation, as {"value": id, "valueId": …}
PRODUCTS = (
    "id", "iblock_id", "parent_id", "iblock_section_id", "name", "code", "xml_id", "active", "available",
    "type", "measure", "sort", "purchasing_price", "purchasing_currency", "vat_included", "date_create", "timestamp_x",
)  # fmt: skip
PRODUCT_SECTIONS = ("id", "iblock_id", "iblock_section_id", "name", "code", "sort", "active")
PRODUCT_PRICES = (
    "id", "product_id", "catalog_group_id", "price", "price_scale", "currency", "quantity_from", "quantity_to",
    "timestamp_x",
)  # fmt: skip

WORKGROUPS = (
    "id", "name", "type", "active", "project", "closed", "visible", "opened", "owner_id", "scrum_master_id",
    "number_of_members", "project_date_start", "project_date_finish", "date_create", "date_update", "date_activity",
)  # fmt: skip

# without the data of passports (RQ_IDENT_*) and the names of persons, which contacts have anyway
REQUISITES = (
    "id", "entity_type_id", "entity_id", "preset_id", "name", "active", "address_only", "sort",
    "date_create", "date_modify", "rq_company_name", "rq_company_full_name", "rq_inn", "rq_kpp", "rq_ogrn",
    "rq_ogrnip", "rq_iin", "rq_bin", "rq_edrpou", "rq_vat_id",
)  # fmt: skip
# down to the town: nothing needs the street. anchor_* is the contact, company or lead behind a requisite
ADDRESSES = (
    "type_id", "entity_type_id", "entity_id", "city", "region", "province", "country", "country_code",
    "anchor_type_id", "anchor_id",
)  # fmt: skip

OPENLINE_CONFIGS = ("id", "line_name", "active", "crm", "crm_source", "queue_type", "vote_message")

STATUSES = (
    "id", "entity_id", "status_id", "name", "name_init", "sort", "system", "category_id", "color", "semantics", "extra",
)  # fmt: skip
# of deals (entity_type_id 2), smart invoices (31) and smart processes: each type counts its ids anew
PIPELINES = ("entity_type_id", "id", "name", "sort", "is_default")
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

# a row per custom field; entity_id is CRM_LEAD, CRM_DEAL, CRM_CONTACT, CRM_COMPANY, CRM_QUOTE, CRM_SMART_INVOICE, or
# CRM_<id> of a smart process's type. Labels are a text, or a JSON object by language where the method gives that
CUSTOM_FIELDS = (
    "entity_id", "field_name", "id", "user_type_id", "multiple", "mandatory", "sort",
    "edit_form_label", "list_column_label", "settings",
)  # fmt: skip
CUSTOM_FIELD_OPTIONS = ("entity_id", "field_name", "id", "value", "sort", "xml_id")

# owner_type is the portal's short code: L lead, D deal, Q quote, SI smart invoice, T<entityTypeId in hex> process item;
# an owner that has no rows is kept as one row with a NULL id
PRODUCT_ROWS = (
    "owner_type", "owner_id", "id", "product_id", "product_name", "price", "price_exclusive", "price_netto",
    "price_brutto", "quantity", "discount_type_id", "discount_rate", "discount_sum", "tax_rate", "tax_included",
    "customized", "measure_code", "measure_name", "sort", "type",
)  # fmt: skip

# a row per change of a field of a task
TASK_HISTORY = ("task_id", "id", "created_date", "field", "value_from", "value_to", "user_id")

# a row per message of a chat with a client, without its text: who wrote and when is what service times need.
# is_client comes from `connector` of the sender, is_bot from his `bot`; sender_id 0 is the system itself
OPENLINE_SESSIONS = (
    "session_id", "message_id", "chat_id", "activity_id", "sender_id", "is_client", "is_bot", "sent_at",
)  # fmt: skip

# a row per occurrence: those of a recurring event share an id; copies of a meeting share parent_id
CALENDAR_EVENTS = (
    "id", "date_from_ts_utc", "date_to_ts_utc", "parent_id", "cal_type", "owner_id", "created_by", "meeting_host",
    "dt_skip_time", "dt_length", "is_meeting", "meeting_status", "accessibility", "event_type", "deleted",
    "uf_crm_cal_event",
)  # fmt: skip

WORK_TIME_RECORDS = (
    "id", "user_id", "start_time", "end_time", "duration", "break_length", "state", "is_approved",
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
    "quotes": QUOTES,
    "smart_invoices": SMART_INVOICES,
    "smart_invoice_stage_history": SMART_INVOICE_STAGE_HISTORY,
    "process_types": PROCESS_TYPES,
    "process_items": PROCESS_ITEMS,
    "process_stage_history": PROCESS_STAGE_HISTORY,
    "deal_contacts": DEAL_CONTACTS,
    "contact_companies": CONTACT_COMPANIES,
    "payments": PAYMENTS,
    "order_entities": ORDER_ENTITIES,
    "catalogs": CATALOGS,
    "products": PRODUCTS,
    "product_sections": PRODUCT_SECTIONS,
    "product_prices": PRODUCT_PRICES,
    "workgroups": WORKGROUPS,
    "requisites": REQUISITES,
    "addresses": ADDRESSES,
    "openline_configs": OPENLINE_CONFIGS,
    # read owner by owner, see details.py
    "product_rows": PRODUCT_ROWS,
    "task_history": TASK_HISTORY,
    "openline_sessions": OPENLINE_SESSIONS,
    "calendar_events": CALENDAR_EVENTS,
    "work_time_records": WORK_TIME_RECORDS,
}
# one column per custom field; tables with a column `custom_fields` have them in that one
WITH_CUSTOM_FIELDS = ("leads", "deals", "contacts", "companies")
KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TABLES, ("id",)),
    "statuses": ("entity_id", "status_id"),
    "pipelines": ("entity_type_id", "id"),
    "currencies": ("currency",),
    "currency_rates": ("currency", "seen_date"),
    "custom_fields": ("entity_id", "field_name"),
    "custom_field_options": ("entity_id", "field_name", "id"),
    "process_types": ("entity_type_id",),
    "process_items": ("entity_type_id", "id"),
    "process_stage_history": ("entity_type_id", "id"),
    "order_entities": ORDER_ENTITIES,
    "addresses": ("type_id", "entity_type_id", "entity_id"),
    "product_rows": ("owner_type", "owner_id"),  # of an owner: its rows have ids, but for that of an empty owner
    "task_history": ("task_id", "id"),
    "openline_sessions": ("session_id", "message_id"),
    "calendar_events": ("id", "date_from_ts_utc"),
}
# all rows of an owner are replaced together
REPLACED: dict[str, tuple[str, ...]] = {
    "product_rows": ("owner_type", "owner_id"),
    "task_history": ("task_id",),
    "openline_sessions": ("session_id",),
}
# an owner without rows has one with a NULL id, which takes the place of those that he had
WITH_EMPTY_OWNERS = ("product_rows",)
