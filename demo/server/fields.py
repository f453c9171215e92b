"""Fields of every entity: which exist, what kind of value each holds, and how each API names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """What a field holds; the value is the type that `*.fields` reports."""

    INTEGER = "integer"
    NUMBER = "double"
    CODE = "crm_status"  # a dictionary code: `%` acts as `=` on it
    TEXT = "string"
    FLAG = "char"
    DATE = "date"
    TIME = "datetime"
    CONTACTS = "crm_multifield"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row: its key there, its kind, whether it holds several values."""

    key: str
    kind: Kind
    multiple: bool = False


Fields = Mapping[str, Field]


@dataclass(frozen=True)
class Entity:
    """Rows of one table as one API shows them: `fields` maps the names in a request to the keys of a row.

    `keyed` says that a row's id is also its key in the table, so that an id filter needs no scan. Rows of a `native`
    entity are kept as `crm.item.list` prints them.
    """

    table: str
    fields: Fields
    id_key: str = "ID"
    keyed: bool = True
    type_id: int = 0
    custom_fields_of: str = ""
    native: bool = False


def fields_of(**names_by_kind: str) -> dict[str, Field]:
    """Build fields from `kind="NAME NAME ..."`; requests and rows use the same names."""
    return {name: Field(name, Kind[kind.upper()]) for kind, names in names_by_kind.items() for name in names.split()}


_UTM = "UTM_SOURCE UTM_MEDIUM UTM_CAMPAIGN UTM_CONTENT UTM_TERM"
_ADDRESS = (
    "ADDRESS ADDRESS_2 ADDRESS_CITY ADDRESS_POSTAL_CODE ADDRESS_REGION ADDRESS_PROVINCE ADDRESS_COUNTRY "
    "ADDRESS_COUNTRY_CODE ADDRESS_LOC_ADDR_ID"
)
_ORIGIN = "ORIGINATOR_ID ORIGIN_ID"
_PEOPLE = "ASSIGNED_BY_ID CREATED_BY_ID MODIFY_BY_ID LAST_ACTIVITY_BY"
_TIMES = "DATE_CREATE DATE_MODIFY LAST_ACTIVITY_TIME"
_CONTACTS = "PHONE EMAIL WEB IM LINK"

LEADS = Entity(
    "leads",
    fields_of(
        integer=f"ID COMPANY_ID CONTACT_ID MOVED_BY_ID {_PEOPLE}",
        number="OPPORTUNITY",
        code="HONORIFIC SOURCE_ID STATUS_ID STATUS_SEMANTIC_ID CURRENCY_ID",
        text="TITLE NAME SECOND_NAME LAST_NAME COMPANY_TITLE SOURCE_DESCRIPTION STATUS_DESCRIPTION POST COMMENTS "
        f"{_ORIGIN} {_ADDRESS} {_UTM}",
        flag="IS_RETURN_CUSTOMER IS_MANUAL_OPPORTUNITY OPENED HAS_PHONE HAS_EMAIL HAS_IMOL",
        date="BIRTHDATE",
        time=f"MOVED_TIME DATE_CLOSED {_TIMES}",
        contacts=_CONTACTS,
    ),
    type_id=1,
    custom_fields_of="CRM_LEAD",
)
DEALS = Entity(
    "deals",
    fields_of(
        integer=f"ID CATEGORY_ID PROBABILITY COMPANY_ID CONTACT_ID QUOTE_ID LEAD_ID LOCATION_ID MOVED_BY_ID {_PEOPLE}",
        number="OPPORTUNITY TAX_VALUE",
        code="TYPE_ID STAGE_ID STAGE_SEMANTIC_ID CURRENCY_ID SOURCE_ID",
        text=f"TITLE COMMENTS ADDITIONAL_INFO SOURCE_DESCRIPTION {_ORIGIN} {_UTM}",
        flag="IS_NEW IS_RECURRING IS_RETURN_CUSTOMER IS_REPEATED_APPROACH IS_MANUAL_OPPORTUNITY OPENED CLOSED",
        date="BEGINDATE CLOSEDATE",
        time=f"MOVED_TIME {_TIMES}",
    ),
    type_id=2,
    custom_fields_of="CRM_DEAL",
)
CONTACTS = Entity(
    "contacts",
    fields_of(
        integer=f"ID LEAD_ID COMPANY_ID FACE_ID {_PEOPLE}",
        code="HONORIFIC TYPE_ID SOURCE_ID",
        text=f"NAME SECOND_NAME LAST_NAME POST COMMENTS PHOTO SOURCE_DESCRIPTION ORIGIN_VERSION {_ORIGIN} {_ADDRESS} "
        f"{_UTM}",
        flag="EXPORT HAS_PHONE HAS_EMAIL HAS_IMOL OPENED",
        date="BIRTHDATE",
        time=_TIMES,
        contacts=_CONTACTS,
    ),
    type_id=3,
    custom_fields_of="CRM_CONTACT",
)
COMPANIES = Entity(
    "companies",
    fields_of(
        integer=f"ID LEAD_ID {_PEOPLE}",
        number="REVENUE",
        code="COMPANY_TYPE INDUSTRY EMPLOYEES CURRENCY_ID",
        text=f"TITLE LOGO BANKING_DETAILS COMMENTS ADDRESS_LEGAL REG_ADDRESS ORIGIN_VERSION {_ORIGIN} {_ADDRESS} "
        f"{_UTM}",
        flag="OPENED IS_MY_COMPANY HAS_PHONE HAS_EMAIL HAS_IMOL",
        time=_TIMES,
        contacts=_CONTACTS,
    ),
    type_id=4,
    custom_fields_of="CRM_COMPANY",
)
QUOTES = Entity(
    "quotes",
    fields_of(
        integer=f"ID COMPANY_ID MYCOMPANY_ID CONTACT_ID LEAD_ID DEAL_ID PERSON_TYPE_ID LOCATION_ID {_PEOPLE}",
        number="OPPORTUNITY TAX_VALUE",
        code="STATUS_ID CURRENCY_ID",
        text="QUOTE_NUMBER TITLE COMMENTS CONTENT TERMS CLIENT_TITLE CLIENT_ADDR CLIENT_CONTACT CLIENT_EMAIL "
        f"CLIENT_PHONE {_UTM}",
        flag="OPENED CLOSED",
        date="BEGINDATE CLOSEDATE ACTUAL_DATE",
        time=_TIMES,
    ),
    type_id=7,
    custom_fields_of="CRM_QUOTE",
)
CRM_ENTITIES = {"lead": LEADS, "deal": DEALS, "contact": CONTACTS, "company": COMPANIES, "quote": QUOTES}

LEAD_STAGE_HISTORY = Entity(
    "lead_stage_history",
    fields_of(integer="ID TYPE_ID OWNER_ID", time="CREATED_TIME", code="STATUS_SEMANTIC_ID STATUS_ID"),
)
DEAL_STAGE_HISTORY = Entity(
    "deal_stage_history",
    fields_of(integer="ID TYPE_ID OWNER_ID CATEGORY_ID", time="CREATED_TIME", code="STAGE_SEMANTIC_ID STAGE_ID"),
)
ACTIVITIES = Entity(
    "activities",
    fields_of(
        integer="ID OWNER_ID OWNER_TYPE_ID TYPE_ID ASSOCIATED_ENTITY_ID STATUS DIRECTION PRIORITY RESPONSIBLE_ID "
        "AUTHOR_ID EDITOR_ID",
        text=f"PROVIDER_ID PROVIDER_TYPE_ID PROVIDER_GROUP_ID SUBJECT DESCRIPTION LOCATION {_ORIGIN}",
        flag="COMPLETED IS_INCOMING_CHANNEL",
        time="CREATED LAST_UPDATED START_TIME END_TIME DEADLINE",
    ),
)
CALLS = Entity(
    "calls",
    fields_of(
        integer="ID PORTAL_USER_ID CALL_TYPE CALL_DURATION CALL_VOTE CRM_ENTITY_ID CRM_ACTIVITY_ID SESSION_ID",
        number="COST",
        text="CALL_ID EXTERNAL_CALL_ID CALL_CATEGORY PORTAL_NUMBER PHONE_NUMBER CALL_FAILED_CODE CALL_FAILED_REASON "
        "COST_CURRENCY CRM_ENTITY_TYPE",
        time="CALL_START_DATE",
    ),
)
USERS = Entity(
    "users",
    fields_of(
        integer="ID",
        text="XML_ID NAME LAST_NAME SECOND_NAME EMAIL WORK_POSITION USER_TYPE TIME_ZONE PERSONAL_CITY",
        flag="ACTIVE IS_ONLINE",
        date="UF_EMPLOYMENT_DATE",
        time="DATE_REGISTER TIMESTAMP_X LAST_LOGIN LAST_ACTIVITY_DATE",
    )
    | {"UF_DEPARTMENT": Field("UF_DEPARTMENT", Kind.INTEGER, multiple=True)},
)
DEPARTMENTS = Entity("departments", fields_of(integer="ID SORT PARENT UF_HEAD", text="NAME"))
STATUSES = Entity(
    "statuses",
    fields_of(
        integer="ID SORT CATEGORY_ID", code="ENTITY_ID STATUS_ID SEMANTICS", text="NAME NAME_INIT COLOR", flag="SYSTEM"
    ),
    keyed=False,
)
CURRENCIES = Entity(
    "currencies",
    fields_of(code="CURRENCY", integer="AMOUNT_CNT SORT", number="AMOUNT", text="FULL_NAME", flag="BASE"),
    id_key="CURRENCY",
    keyed=False,
)
CUSTOM_FIELDS = Entity(
    "custom_fields",
    fields_of(
        integer="ID SORT", code="ENTITY_ID FIELD_NAME USER_TYPE_ID XML_ID", flag="MULTIPLE MANDATORY SHOW_FILTER"
    ),
    keyed=False,
)
PIPELINES = Entity(
    "pipelines", fields_of(integer="id sort entityTypeId", text="name", flag="isDefault"), id_key="id", keyed=False
)
PRODUCT_ROWS = Entity(
    "deal_product_rows",
    fields_of(
        integer="id ownerId productId discountTypeId measureCode sort type storeId",
        number="price priceAccount priceExclusive priceNetto priceBrutto quantity discountRate discountSum taxRate",
        text="ownerType productName measureName xmlId",
        flag="taxIncluded customized",
    ),
    id_key="id",
)
LATER_PRODUCT_ROWS = replace(PRODUCT_ROWS, table="product_rows")  # of owners other than deals
LATER_CUSTOM_FIELDS = replace(CUSTOM_FIELDS, table="item_custom_fields")  # of quotes, invoices, smart processes
LATER_PIPELINES = replace(PIPELINES, table="item_pipelines")
TIME_ENTRIES = Entity(
    "time_entries",
    fields_of(integer="ID TASK_ID USER_ID SECONDS MINUTES", time="CREATED_DATE DATE_START DATE_STOP"),
)


def to_camel(name: str) -> str:
    """`CHANGED_DATE` -> `changedDate`."""
    head, *tail = name.lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def to_upper_snake(name: str) -> str:
    """`changedDate` -> `CHANGED_DATE`; a name that is already so stays."""
    return name if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


# in a request REAL_STATUS is the state itself, STATUS the state with overdue marks; answers say status, subStatus
TASK_KEYS = {"REAL_STATUS": "status", "STATUS": "subStatus"}


def task_key(name: str) -> str:
    """Return the key in a task's row of a name in a request."""
    return TASK_KEYS.get(name) or to_camel(name)


TASKS = Entity(
    "tasks",
    {
        name: Field(task_key(name), field.kind, multiple=name == "UF_CRM_TASK")
        for name, field in fields_of(
            integer="ID PARENT_ID GROUP_ID STAGE_ID FLOW_ID CREATED_BY RESPONSIBLE_ID CHANGED_BY CLOSED_BY REAL_STATUS "
            "STATUS PRIORITY TIME_ESTIMATE TIME_SPENT_IN_LOGS",
            text="TITLE MARK UF_CRM_TASK",
            time="CREATED_DATE CHANGED_DATE STATUS_CHANGED_DATE CLOSED_DATE DATE_START DEADLINE ACTIVITY_DATE",
        ).items()
    },
    id_key="id",
)

_ITEM_NAMES = {
    "DATE_CREATE": "createdTime",
    "DATE_MODIFY": "updatedTime",
    "CREATED_BY_ID": "createdBy",
    "MODIFY_BY_ID": "updatedBy",
    "MOVED_BY_ID": "movedBy",
    "STATUS_ID": "stageId",
    "STATUS_SEMANTIC_ID": "stageSemanticId",
    "COMPANY_TYPE": "typeId",
}
_NUMBERED_UF = re.compile(r"UF_CRM_(?:(\d+)_)?(\d+)")


def item_name(key: str) -> str:
    """Return the name in `crm.item.list` of a key in a row of an old list.

    `UF_CRM_1720` -> `ufCrm_1720`, `UF_CRM_2_1639` -> `ufCrm2_1639`, `UF_CRM_MY_FIELD` -> `ufCrmMyField`.
    """
    if numbered := _NUMBERED_UF.fullmatch(key):
        return f"ufCrm{numbered[1] or ''}_{numbered[2]}"
    return _ITEM_NAMES.get(key) or to_camel(key)


_UF_KINDS = {
    "integer": Kind.INTEGER,
    "double": Kind.NUMBER,
    "boolean": Kind.FLAG,
    "date": Kind.DATE,
    "datetime": Kind.TIME,
}


def custom_field(row: Mapping[str, object]) -> Field:
    """Describe a `UF_*` field by its row in the table of custom fields."""
    kind = _UF_KINDS.get(str(row["USER_TYPE_ID"]), Kind.TEXT)
    return Field(str(row["FIELD_NAME"]), kind, multiple=row.get("MULTIPLE") == "Y")
