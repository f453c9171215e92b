"""A large warehouse from a small one, in SQL: so many copies of the portal's records, each with ids of its own.

Record 17 of copy 42 gets the id 170042: ids grow with time as a portal's do, and every reference is rewritten by the
same rule. Each copy happened some seconds before the one it is taken from, so that no two copies share their instants.
What a company of any size has once is taken over as it is: users, stages, products, rates, input files.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

DIGITS = 4  # of the copy's number in an id
STEP_S = 20
Columns = Mapping[str, str | None]

WHOLE = None  # an id alone: 0 and the empty text refer to nothing
IDS = "([1-9][0-9]*)"
OWNER = '("OWNER_ID": ?"?)([1-9][0-9]*)'
CARD = "([A-Z0-9]+_)([1-9][0-9]*)"  # D_17, CO_17, T80_17
HASH = "([0-9a-f]{28})[0-9a-f]{4}"  # its last digits give way

CLIENT: Columns = {"company_id": WHOLE, "contact_id": WHOLE, "mycompany_id": WHOLE}
ITEM: Columns = {"id": WHOLE, **CLIENT, **{f"parent_id{number}": WHOLE for number in (1, 2, 7, 31)}, "contact_ids": IDS}
HISTORY: Columns = {"id": WHOLE, "owner_id": WHOLE}
PERSON: Columns = {"id": WHOLE, "lead_id": WHOLE, "company_id": WHOLE, "phone": HASH, "email": HASH}
# table of the portal's records -> column that tells or names a record -> where in its text the ids are
REFERENCES: Mapping[str, Columns] = {
    "leads": {**PERSON, "contact_id": WHOLE},
    "deals": {"id": WHOLE, **CLIENT, "quote_id": WHOLE, "lead_id": WHOLE},
    "contacts": PERSON,
    "companies": PERSON,
    "deal_contacts": {"id": WHOLE, "contact_ids": IDS},
    "contact_companies": {"id": WHOLE, "company_ids": IDS},
    "deal_stage_history": HISTORY,
    "lead_stage_history": HISTORY,
    "quotes": {"id": WHOLE, **CLIENT, "lead_id": WHOLE, "deal_id": WHOLE},
    "smart_invoices": ITEM,
    "smart_invoice_stage_history": HISTORY,
    "process_items": ITEM,
    "process_stage_history": HISTORY,
    "payments": {"id": WHOLE, "order_id": WHOLE},
    "order_entities": {"order_id": WHOLE, "owner_id": WHOLE},
    "requisites": {"id": WHOLE, "entity_id": WHOLE},
    "addresses": {"entity_id": WHOLE, "anchor_id": WHOLE},
    "activities": {"id": WHOLE, "owner_id": WHOLE, "associated_entity_id": WHOLE, "bindings": OWNER},
    "calls": {
        "id": WHOLE, "call_id": WHOLE, "crm_entity_id": WHOLE, "crm_activity_id": WHOLE, "phone_number": HASH,
    },
    "tasks": {"id": WHOLE, "parent_id": WHOLE, "uf_crm_task": CARD},
    "task_history": {"id": WHOLE, "task_id": WHOLE},
    "time_entries": {"id": WHOLE, "task_id": WHOLE},
    "product_rows": {"id": WHOLE, "owner_id": WHOLE},
    "openline_sessions": {"session_id": WHOLE, "message_id": WHOLE, "chat_id": WHOLE, "activity_id": WHOLE},
    "calendar_events": {"id": WHOLE, "parent_id": WHOLE, "uf_crm_cal_event": CARD},
}  # fmt: skip
# days that the portal prints with an hour: they are never shifted
CALENDAR = ("begindate", "closedate", "date_pay_before", "_loaded_at", "_deleted_at")
INSTANT = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,}(Z|[+-][0-9]{2}:[0-9]{2})"


def enlarge(small: Path, large: Path, *, deals: int) -> Iterator[str]:
    """Write a warehouse of at least so many deals; yields the name of each table before it is written."""
    with duckdb.connect(large) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"attach '{small}' as small (read_only)")
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'small' "
            "and regexp_full_match(schema_name, 'ops|raw_.*') and schema_name not like '%_staging' order by all"
        ).fetchall()
        (present,) = connection.execute("select count(*) from small.raw_bitrix24.deals").fetchone() or (0,)
        copies = -(-deals // present)
        for schema, table in tables:
            yield table
            connection.execute(f"create schema if not exists {schema}")
            source, target = f"small.{schema}.{table}", f"{schema}.{table}"
            references = REFERENCES.get(table) if schema == "raw_bitrix24" else None
            if references is None:
                connection.execute(f"create table {target} as from {source}")
            else:
                _copies(connection, source, target, references, copies)
        connection.execute("detach small")


def _copies(connection: duckdb.DuckDBPyConnection, source: str, target: str, references: Columns, copies: int) -> None:
    cells = []
    for column, *_ in connection.execute(f"describe {source}").fetchall():
        quoted = f'"{column}"'
        if column in references:
            cells.append(f"{_with_copy(quoted, references[column])} as {quoted}")
        elif column not in CALENDAR and _is_instant(connection, source, quoted):
            earlier = f"strftime(cast(left({quoted}, 19) as timestamp) - age, '%Y-%m-%dT%H:%M:%S')"
            cells.append(f"case when {quoted} <> '' then {earlier} || substr({quoted}, 20) end as {quoted}")
        else:
            cells.append(quoted)
    numbers = f"select lpad(cast(range as varchar), {DIGITS}, '0') as copy, to_seconds(range * {STEP_S}) as age"
    connection.execute(
        f"create table {target} as select {', '.join(cells)} from {source} "  # noqa: S608 - names of our own
        f"cross join ({numbers} from range({copies}))"
    )


def _with_copy(column: str, pattern: str | None) -> str:
    if pattern is WHOLE:
        return f"case when {column} in ('', '0') then {column} else {column} || copy end"
    groups = r"\1\2" if pattern in (OWNER, CARD) else r"\1"
    return f"regexp_replace({column}, '{pattern}', '{groups}' || copy, 'g')"


def _is_instant(connection: duckdb.DuckDBPyConnection, source: str, column: str) -> bool:
    texts = f"select cast({column} as varchar) as text from {source} where text <> ''"  # noqa: S608 - names of our own
    are_instants = f"select bool_and(regexp_full_match(text, '{INSTANT}')) from ({texts})"  # noqa: S608
    (answer,) = connection.execute(are_instants).fetchone() or (False,)
    return bool(answer)
