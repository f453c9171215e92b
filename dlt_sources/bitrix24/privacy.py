"""Personal data: for a raw column and a mode, the SQL that turns the portal's text into the text that is stored.

Modes: `keep` stores what the portal sent. `hash` puts keyed hashes that still join in the place of phones and e-mails,
and initials in the place of clients' names. `drop` stores neither. Employees stay as they are in every mode.

`python -m dlt_sources.bitrix24.privacy` prints the table of docs/personal-data.md.
"""

import hashlib
import hmac
import sys
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Literal

import duckdb

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.schema import CUSTOM_FIELD_PREFIX

PersonalData = Literal["keep", "hash", "drop"]

HASH_LENGTH = 32  # 128 bits: no two values meet by chance
RULES_VERSION = 1  # to be raised when a rule gives another text for the same value: earlier rows then join no more


class Treatment(Enum):
    """What a column holds, and so what becomes of it."""

    KEPT = "kept"
    PHONE = "phone"
    EMAIL = "e-mail"
    MULTI_PHONE = "phones"
    MULTI_EMAIL = "e-mails"
    PERSON_NAME = "name of a person"
    BIRTH_DATE = "date of birth"
    TITLE = "title"
    VALUE_OF_ANY_FIELD = "value of any field"
    FREE_TEXT = "free text"
    ADDRESS_LINE = "street and house"
    PERSON_ID = "number of a person"
    TAX_ID = "tax number"
    DOCUMENT = "identity document"


@dataclass(frozen=True)
class Rule:
    """What `hash` and `drop` make of a value, in SQL (None: left as it is) and in words."""

    hash_sql: str | None
    hash_words: str
    drop_sql: str | None = "cast(null as varchar)"
    drop_words: str = "NULL"


_EMPTIED = "pd_emptied({value})", "NULL"
_RULES = {
    Treatment.KEPT: Rule(None, "as it is", None, "as it is"),
    Treatment.PHONE: Rule("pd_phone({value})", "hash"),
    Treatment.EMAIL: Rule("pd_email({value})", "hash"),
    Treatment.MULTI_PHONE: Rule("pd_phones({value})", "each `VALUE` a hash"),
    Treatment.MULTI_EMAIL: Rule("pd_emails({value})", "each `VALUE` a hash"),
    Treatment.PERSON_NAME: Rule("pd_initial({value})", "initial"),
    Treatment.BIRTH_DATE: Rule("pd_year({value})", "year"),
    Treatment.TITLE: Rule("pd_masked({value})", "phones and e-mails masked"),
    Treatment.VALUE_OF_ANY_FIELD: Rule(
        "coalesce(pd_number({value}), pd_emptied({value}))", "a number as it is, else NULL",
        "pd_number({value})", "a number as it is, else NULL",
    ),
    Treatment.FREE_TEXT: Rule(*_EMPTIED),
    Treatment.ADDRESS_LINE: Rule(*_EMPTIED),
    Treatment.PERSON_ID: Rule("pd_person_id({value})", "hash"),
    Treatment.TAX_ID: Rule(
        "coalesce(pd_company_tax_id({value}), pd_person_id({value}))", "as it is if a company's, else hash",
        "pd_company_tax_id({value})", "as it is if a company's, else NULL",
    ),
    Treatment.DOCUMENT: Rule(*_EMPTIED),
}  # fmt: skip


def _treat(treatment: Treatment, table: str, columns: str) -> dict[tuple[str, str], Treatment]:
    return {(table, column): treatment for column in columns.split()}


# Decided on although nothing reads them today, so that whoever adds one to the schema leaks nothing.
DECIDED_BEFOREHAND: dict[tuple[str, str], Treatment] = {
    # the portal writes a company's title or a contact's name, and nothing tells which; company_id leads to the title
    **_treat(Treatment.PERSON_NAME, "quotes", "client_title client_contact"),
    **_treat(Treatment.EMAIL, "quotes", "client_email"),
    **_treat(Treatment.PHONE, "quotes", "client_phone"),
    **_treat(Treatment.ADDRESS_LINE, "quotes", "client_addr"),
    **_treat(Treatment.TAX_ID, "quotes", "client_tp_id"),
    **_treat(Treatment.FREE_TEXT, "quotes", "comments content terms"),
    **_treat(Treatment.PERSON_NAME, "requisites", "rq_name rq_first_name rq_last_name rq_second_name"),
    **_treat(Treatment.PERSON_NAME, "requisites", "rq_director rq_accountant rq_ceo_name rq_contact"),
    **_treat(Treatment.EMAIL, "requisites", "rq_email"),
    **_treat(Treatment.PHONE, "requisites", "rq_phone rq_fax"),
    **_treat(Treatment.PERSON_ID, "requisites", "rq_drfo rq_pesel rq_cpf"),  # only persons have them
    **_treat(Treatment.DOCUMENT, "requisites", "rq_ident_doc rq_ident_doc_ser rq_ident_doc_num rq_ident_doc_pers_num"),
    **_treat(Treatment.DOCUMENT, "requisites", "rq_ident_doc_date rq_ident_doc_issued_by rq_ident_doc_dep_code"),
    **_treat(Treatment.DOCUMENT, "requisites", "rq_st_cert_ser rq_st_cert_num rq_st_cert_date"),
    **_treat(Treatment.FREE_TEXT, "requisites", "rq_base_doc"),  # "by power of attorney of ..."
    **_treat(Treatment.ADDRESS_LINE, "addresses", "address_1 address_2 postal_code"),  # a postcode may mean one house
    **_treat(Treatment.FREE_TEXT, "openline_sessions", "name chat_name text"),  # a chat is called like its client
    **_treat(Treatment.PERSON_ID, "openline_sessions", "user_code"),  # messengers put the phone into it
    **_treat(Treatment.FREE_TEXT, "payments", "comments ps_status_message"),  # a bank's message may name the payer
    # written by employees, about clients; reports need only the times
    **_treat(Treatment.FREE_TEXT, "calendar_events", "name description location"),
    **_treat(Treatment.FREE_TEXT, "activities", "description"),
    **_treat(Treatment.FREE_TEXT, "tasks", "description"),
}

# Every column that holds or may seem to hold personal data; a column that is not here is stored as it is.
# Custom fields have a rule of their own, see `treatment`.
TREATMENTS: dict[tuple[str, str], Treatment] = {
    **DECIDED_BEFOREHAND,
    # titles stay readable: test records are found by theirs (var test_title_regex) and people know a deal by it;
    # those the portal writes itself ("Incoming call from +7...") hold a phone
    **_treat(Treatment.TITLE, "leads", "title"),
    **_treat(Treatment.PERSON_NAME, "leads", "name second_name last_name"),
    **_treat(Treatment.MULTI_PHONE, "leads", "phone"),  # joins calls to leads: first response, births of leads
    **_treat(Treatment.MULTI_EMAIL, "leads", "email"),
    **_treat(Treatment.TITLE, "leads", "source_description"),  # a form's or a line's name; staging reads it
    **_treat(Treatment.FREE_TEXT, "leads", "status_description"),  # a manager's words; nothing reads them
    **_treat(Treatment.KEPT, "leads", "honorific post"),  # without the name they tell nobody
    **_treat(Treatment.KEPT, "leads", "company_title"),  # a company is no person
    **_treat(Treatment.KEPT, "leads", "address_city"),  # a city is too large to point at anybody
    **_treat(Treatment.TITLE, "deals", "title source_description"),  # as of leads
    **_treat(Treatment.PERSON_NAME, "contacts", "name second_name last_name"),  # dim_client.name becomes "И. А."
    **_treat(Treatment.BIRTH_DATE, "contacts", "birthdate"),  # age groups need the year alone
    **_treat(Treatment.MULTI_PHONE, "contacts", "phone"),  # dim_client.phone_hash
    **_treat(Treatment.MULTI_EMAIL, "contacts", "email"),  # dim_client.email_hash
    **_treat(Treatment.TITLE, "contacts", "source_description"),
    **_treat(Treatment.KEPT, "contacts", "honorific post address_city"),
    **_treat(Treatment.KEPT, "companies", "title address_city"),  # ABC and XYZ reports name the company
    **_treat(Treatment.MULTI_PHONE, "companies", "phone"),  # often a person's; it must join as contacts' do
    **_treat(Treatment.MULTI_EMAIL, "companies", "email"),
    **_treat(Treatment.PHONE, "calls", "phone_number"),  # joins a lead's and a contact's phone
    **_treat(Treatment.KEPT, "calls", "portal_number"),  # the company's own line
    **_treat(Treatment.KEPT, "calls", "call_failed_reason"),  # the telephone network's words
    **_treat(Treatment.FREE_TEXT, "activities", "subject"),  # subjects of e-mails, names, phones; no mart reads it
    **_treat(Treatment.TITLE, "tasks", "title"),  # as of leads: fct_tasks shows it and looks for test tasks in it
    **_treat(Treatment.VALUE_OF_ANY_FIELD, "task_history", "value_from value_to"),  # statuses, but titles and texts too
    **_treat(Treatment.TITLE, "quotes", "title"),
    **_treat(Treatment.TITLE, "smart_invoices", "title source_description"),
    **_treat(Treatment.TITLE, "process_items", "title source_description"),
    # a requisite of a contact is called like the contact; a company's has rq_company_name
    **_treat(Treatment.PERSON_NAME, "requisites", "name"),
    **_treat(Treatment.KEPT, "requisites", "rq_company_name rq_company_full_name"),  # as companies.title
    # an organisation's INN has 10 digits, a person's or a sole trader's 12: the number itself tells, whoever holds it
    **_treat(Treatment.TAX_ID, "requisites", "rq_inn"),
    **_treat(Treatment.KEPT, "requisites", "rq_kpp rq_ogrn rq_bin rq_edrpou rq_vat_id"),  # only companies have them
    **_treat(Treatment.PERSON_ID, "requisites", "rq_ogrnip rq_iin"),  # only sole traders and persons have them
    **_treat(Treatment.KEPT, "addresses", "city region province country country_code"),  # too large to point at anybody
    # numbers of papers
    **_treat(Treatment.KEPT, "quotes", "quote_number"),
    **_treat(Treatment.KEPT, "smart_invoices", "account_number"),
    **_treat(Treatment.KEPT, "payments", "account_number"),
    # employees
    **_treat(Treatment.KEPT, "users", "name last_name second_name email"),
    # names of things
    **_treat(Treatment.KEPT, "departments", "name"),
    **_treat(Treatment.KEPT, "workgroups", "name"),
    **_treat(Treatment.KEPT, "statuses", "name name_init"),
    **_treat(Treatment.KEPT, "pipelines", "name"),
    **_treat(Treatment.KEPT, "process_types", "title"),
    **_treat(Treatment.KEPT, "currencies", "full_name"),
    **_treat(Treatment.KEPT, "payments", "pay_system_name"),
    **_treat(Treatment.KEPT, "openline_configs", "line_name"),
    **_treat(Treatment.KEPT, "catalogs", "name"),
    **_treat(Treatment.KEPT, "products", "name"),
    **_treat(Treatment.KEPT, "product_sections", "name"),
    **_treat(Treatment.KEPT, "product_rows", "product_name measure_name"),
    **_treat(Treatment.KEPT, "custom_fields", "field_name"),
    **_treat(Treatment.KEPT, "custom_field_options", "field_name"),
}

# Types of custom fields that hold codes, numbers and dates; all others, applications' own ones too, hold text.
CODED_FIELD_TYPES = frozenset(
    {"enumeration", "boolean", "integer", "double", "money", "date", "datetime"}
    | {"employee", "crm", "crm_status", "iblock_section", "iblock_element"}
)


def treatment(table: str, column: str, field_type: str | None = None) -> Treatment:
    """Return how a raw column is treated.

    Args:
        table: raw table.
        column: its column.
        field_type: of a custom field, its `USER_TYPE_ID`; one that is not known counts as text.
    """
    is_custom_field = column.startswith(CUSTOM_FIELD_PREFIX.lower()) and column not in schema.TABLES.get(table, ())
    if not is_custom_field:
        return TREATMENTS.get((table, column), Treatment.KEPT)
    if field_type in CODED_FIELD_TYPES:
        return Treatment.KEPT
    return Treatment.ADDRESS_LINE if field_type == "address" else Treatment.TITLE


def expression(table: str, column: str, mode: PersonalData, field_type: str | None = None) -> str | None:
    """Return the SQL that makes the stored text of a raw column, with `{value}` for the SQL of the portal's text.

    Args: see `treatment`.
    Returns:
        an expression of type varchar for `str.format` or `str.replace`; NULL in gives NULL out, and in mode `hash`
        '' gives ''. It calls functions that `prepare` makes, so without them it fails and stores nothing.
        None: the column is stored as it is.
    """
    if mode == "keep":
        return None
    rule = _RULES[treatment(table, column, field_type)]
    return rule.hash_sql if mode == "hash" else rule.drop_sql


# Digits are all that counts in a phone; Russian numbers are written with 8, +7 or neither before their ten digits.
# What has no digit at all ("hidden") is no phone and joins nothing.
_DIGITS = r"regexp_replace(regexp_replace(text, '[^0-9]+', '', 'g'), '^[78]?([0-9]{10})$', '7\1')"
_BLANKS = "' \t\r\n\u00a0'"

# A multi-field's object in the spelling of the old methods and of the new ones: these four keys and no other go on.
_MULTI_FIELD = """case
    when json_valid(list) then cast(to_json(list_transform(
        case json_type(list) when 'OBJECT' then json_extract(list, '$.*') else json_extract(list, '$[*]') end,
        lambda element: case
            when json_exists(element, '$.VALUE') then json_object(
                'ID', json_extract(element, '$.ID'), 'VALUE_TYPE', json_extract(element, '$.VALUE_TYPE'),
                'VALUE', {one}(json_extract_string(element, '$.VALUE')), 'TYPE_ID', json_extract(element, '$.TYPE_ID')
            )
            when json_exists(element, '$.value') then json_object(
                'id', json_extract(element, '$.id'), 'valueType', json_extract(element, '$.valueType'),
                'value', {one}(json_extract_string(element, '$.value')), 'typeId', json_extract(element, '$.typeId')
            )
            when json_type(element) = 'VARCHAR' then to_json({one}(json_extract_string(element, '$')))
        end
    )) as varchar)
end"""

# What looks like a phone inside a text: eleven digits or more in a row; + and nine digits or more; 7 or 8 and ten more;
# ten with a Russian code. Between digits up to three signs that phones are written with.
_SIGNS = "[ \u00a0().\u2013-]{0,3}"
_PHONE_INSIDE = (
    rf"(^|[^0-9])([+]?[0-9]{{11,}}|[+][0-9](?:{_SIGNS}[0-9]){{8,14}}|[(]?[78](?:{_SIGNS}[0-9]){{10}}"
    r"|[(]?[3489][0-9]{2}[)]?[ \x{a0}-]{0,2}[0-9]{3}[ \x{a0}-]?[0-9]{2}[ \x{a0}-]?[0-9]{2})"
)
_EMAIL_INSIDE = r"[\pL\pN._%+-]+@[\pL\pN-]+(?:[.][\pL\pN-]+)+"

# in this order: a function must exist before another calls it
_MACROS = {
    "pd_emptied(text)": "case when text = '' then '' end",
    # HMAC-SHA256 in its two halves, the padded keys being made in Python: phones are few enough to be tried one by
    # one, so a hash without a key would hide nothing
    "pd_hash(text)": "left(sha256(getvariable('pd_outer') || unhex(sha256(getvariable('pd_inner') || encode(text)))), "
    f"{HASH_LENGTH})",
    "pd_phone(text)": f"case when regexp_matches(text, '[0-9]') then pd_hash({_DIGITS}) else pd_emptied(text) end",
    "pd_email(text)": f"case when contains(text, '@') then pd_hash(lower(trim(text, {_BLANKS}))) "
    "else pd_emptied(text) end",
    # a lone value comes as plain text; JSON that is cut or broken must not be taken for one
    **{
        f"{name}(list)": rf"case when not regexp_matches(list, '^\s*[\[{{]') then {one}(list) "
        f"else {_MULTI_FIELD.format(one=one)} end"
        for name, one in (("pd_phones", "pd_phone"), ("pd_emails", "pd_email"))
    },
    # a phone typed into the name has no letter
    "pd_initial(text)": r"coalesce(upper(nullif(regexp_extract(text, '\pL'), '')) || '.', pd_emptied(text))",
    "pd_year(text)": "case when try_cast(regexp_extract(text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}') as date) is not null "
    "then left(text, 4) else pd_emptied(text) end",
    "pd_masked_emails(text)": "case when contains(text, '@') "
    f"then regexp_replace(text, '{_EMAIL_INSIDE}', '***', 'g') else text end",
    # five characters hold neither
    "pd_masked(text)": "case when length(text) < 6 then text else "
    f"regexp_replace(pd_masked_emails(text), '{_PHONE_INSIDE}', '\\1***', 'g') end",
    # a status, an id, or a moment in seconds since 1970, which no ten digits of a phone begin like
    "pd_number(text)": "case when regexp_full_match(text, '-?[0-9]{1,9}|1[0-9]{9}') then text end",
    "pd_person_id(text)": r"case when regexp_matches(text, '\S') "
    r"then pd_hash(upper(regexp_replace(text, '\s+', '', 'g'))) else pd_emptied(text) end",
    "pd_company_tax_id(text)": f"case when regexp_full_match(trim(text, {_BLANKS}), '[0-9]{{10}}') then text end",
}


def prepare(con: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Make the functions that the expressions call; only this connection gets them, a cursor of it is another one.

    The key stands in no SQL text: it is a bound value. A plan would show it, so plans of these queries are not logged.
    """
    if not key:
        raise ValueError("An empty key would make hashes that anybody can repeat.")
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    con.execute("set variable pd_inner = $1", [bytes(byte ^ 0x36 for byte in block)])
    con.execute("set variable pd_outer = $1", [bytes(byte ^ 0x5C for byte in block)])
    for signature, body in _MACROS.items():
        con.execute(f"create or replace temp macro {signature} as {body}")


def fingerprint(mode: PersonalData, key: bytes) -> str:
    """Return a short text that differs when rows stored under it would differ; the key cannot be told from it."""
    if mode != "hash":
        return f"{mode}-{RULES_VERSION}"  # neither uses the key
    digest = hmac.new(key, b"fingerprint of personal data", hashlib.sha256).hexdigest()
    return f"{mode}-{RULES_VERSION}-{digest[:12]}"


def markdown_table() -> str:
    """Return the table of docs/personal-data.md: what each mode makes of each column."""
    lines = ["| Raw table | Columns | Hold | `keep` | `hash` | `drop` |", "|---|---|---|---|---|---|"]
    declared = [item for item in TREATMENTS.items() if item[0][1] in schema.TABLES.get(item[0][0], ())]
    by_treatment = sorted(declared, key=lambda item: (item[0][0], list(Treatment).index(item[1])))
    for (table, kind), items in groupby(by_treatment, key=lambda item: (item[0][0], item[1])):
        columns = ", ".join(f"`{column}`" for (_, column), _ in items)
        lines.append(_line(f"`{table}`", columns, kind))
    lines.append(_line("any", "`uf_*` of type `address`", Treatment.ADDRESS_LINE))
    coded = ", ".join(f"`{name}`" for name in sorted(CODED_FIELD_TYPES))
    lines.append(_line("any", f"`uf_*` of type {coded}", Treatment.KEPT))
    lines.append(_line("any", "`uf_*` of any other type", Treatment.TITLE))
    return "\n".join(lines) + "\n"


def _line(table: str, columns: str, kind: Treatment) -> str:
    rule = _RULES[kind]
    hold = "" if kind is Treatment.KEPT else kind.value
    return f"| {table} | {columns} | {hold} | as it is | {rule.hash_words} | {rule.drop_words} |"


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
