"""Pure functions from the portal's rows to columns of text."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa
from dlt.common.normalizers.naming.snake_case import NamingConvention

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.errors import PortalError

Row = Mapping[str, Any]

CUSTOM_FIELD_PREFIX = "UF_"


@lru_cache(maxsize=10_000)
def to_column_name(key: str) -> str:
    """Return the column of a wire key: `DATE_MODIFY` and `dateModify` are `date_modify`.

    A custom field's code is only put in lower case, for dlt would tear the ones with digits apart
    (`UF_CRM_5E7B` into `uf_crm_5_e7_b`); one that dlt would rename even so ends in a hash, so that no two codes
    share a column. The macro `custom_field_column` of dbt does the same.
    """
    if not key.startswith(CUSTOM_FIELD_PREFIX):
        return str(NamingConvention().normalize_identifier(key))
    if re.fullmatch("[A-Z0-9]+(_[A-Z0-9]+)*", key):
        return key.lower()
    digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return re.sub("[^a-z0-9]+", "_", key.lower()).strip("_") + "_" + digest[:8]


def to_text(value: Any) -> str | None:
    """Return a value as the portal sent it: numbers keep their digits, lists and objects are JSON, NUL is removed."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.replace("\0", "") if "\0" in value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = orjson.dumps(value).decode()
    # the sign may also be a written backslash, so only a look inside tells
    return orjson.dumps(_without_nul(value)).decode() if "\\u0000" in text else text


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(inner) for key, inner in value.items()}
    return value


def to_instant_text(instant: datetime) -> str:
    """Return an instant as UTC ISO 8601 text, as `_loaded_at` holds it."""
    return instant.astimezone(UTC).isoformat()


def to_columns(table: str, rows: Sequence[Row], *, loaded_at: str, custom_fields: Collection[str] = ()) -> pa.Table:
    """Turn rows of one raw table into its declared columns, all text.

    Args:
        table: raw table, a key of `schema.TABLES`.
        rows: rows as the portal sent them; keys that are not declared are dropped, absent ones are null.
        loaded_at: instant of the run, as `to_instant_text` writes it.
        custom_fields: codes (`UF_CRM_…`) that get a column even if no row has them.
    Returns:
        the declared columns, those of custom fields where the table has them, `_loaded_at`, `_deleted_at`.
        Columns of the key are not nullable.
    Raises:
        PortalError: a row lacks a part of its key.
    """
    columns: dict[str, list[str | None] | None] = dict.fromkeys(schema.TABLES[table])
    with_custom_fields = table in schema.WITH_CUSTOM_FIELDS
    if with_custom_fields:
        columns |= dict.fromkeys(to_column_name(code) for code in sorted(custom_fields))
    for key in dict.fromkeys(chain.from_iterable(rows)):
        name = to_column_name(key)
        if name in columns or (with_custom_fields and key.startswith(CUSTOM_FIELD_PREFIX)):
            columns[name] = [to_text(row.get(key)) for row in rows]
    columns["_loaded_at"] = [loaded_at] * len(rows)
    columns["_deleted_at"] = None
    keys = schema.KEYS[table]
    for name in keys:
        if rows and None in (columns[name] or [None]):
            raise PortalError(f"The portal sent a row of {table} without its {name}, which tells it from the others.")
    return pa.table(
        [
            pa.nulls(len(rows), pa.string()) if values is None else pa.array(values, pa.string())
            for values in columns.values()
        ],
        schema=pa.schema([pa.field(name, pa.string(), nullable=name not in keys) for name in columns]),
    )


def custom_field_codes(definitions: Iterable[Row]) -> dict[str, set[str]]:
    """Return the codes that definitions declare, by raw table."""
    tables = {"CRM_LEAD": "leads", "CRM_DEAL": "deals", "CRM_CONTACT": "contacts", "CRM_COMPANY": "companies"}
    codes: dict[str, set[str]] = {table: set() for table in tables.values()}
    for row in definitions:
        if row.get("ENTITY_ID") in tables and row.get("FIELD_NAME"):
            codes[tables[row["ENTITY_ID"]]].add(row["FIELD_NAME"])
    return codes


def custom_field_options(definitions: Iterable[Row]) -> list[dict[str, Any]]:
    """Return one row per option of the enumerations among custom field definitions."""
    return [
        {"ENTITY_ID": row.get("ENTITY_ID"), "FIELD_NAME": row.get("FIELD_NAME"), **option}
        for row in definitions
        for option in _rows_of(row.get("LIST"))
    ]


def _rows_of(value: Any) -> list[Row]:
    """Return a list of rows; PHP writes one with gaps in its numbers as a map, and an empty one in several ways."""
    rows = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [row for row in rows if isinstance(row, Mapping)]


def currency_rates(currencies: Iterable[Row], seen: date) -> list[dict[str, Any]]:
    """Return today's rates: the portal keeps only the current ones, so each day's are kept under their day."""
    return [{**row, "SEEN_DATE": seen.isoformat()} for row in currencies]


def product_rows(owner_id: int, owner_date_modify: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return an owner's product rows with the state of the owner they belong to; one row without id if it has none."""
    return [{**row, "ownerId": owner_id, "_owner_date_modify": owner_date_modify} for row in rows or [{}]]
