"""From the portal's rows, as they came, to columns of text."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain
from queue import SimpleQueue
from typing import Any

import duckdb
import msgspec
import numpy as np
import orjson
import pyarrow as pa
from dlt.common.normalizers.naming.snake_case import NamingConvention

from dlt_sources.bitrix24 import privacy, schema
from dlt_sources.bitrix24.errors import PortalError
from dlt_sources.bitrix24.schema import CUSTOM_FIELD_PREFIX

Row = Mapping[str, Any]
Json = bytes | msgspec.Raw

ALL_CUSTOM_FIELDS = "custom_fields"  # the column that holds all of them as JSON
KEY_SAMPLE = 25  # of so many rows one tells the keys
BATCH_ROWS = 20_480  # a share of work for one of DuckDB's threads
WRITERS = 2  # threads of one `ColumnWriter`: DuckDB alone keeps the rows' order with only one


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
    return re.sub("[^a-z0-9]+", "_", key.lower()).strip("_") + "_" + md5(key)[:8]


def to_camel(column: str) -> str:
    """Return a column's key in the new methods: `entity_type_id` is `entityTypeId`."""
    first, *rest = column.split("_")
    return first + "".join(word.capitalize() for word in rest)


def md5(text: str) -> str:
    """Return the MD5 of a text; it tells texts apart and hides nothing."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def to_instant_text(instant: datetime) -> str:
    """Return an instant as UTC ISO 8601 text, as `_loaded_at` holds it."""
    return instant.astimezone(UTC).isoformat()


class ColumnWriter:
    """Turns rows of JSON into columns of text, inside of an in-memory DuckDB: no Python object for a value.

    Numbers keep their digits, lists and objects are JSON, booleans `true` or `false`, JSON null and an absent key NULL.
    NUL characters are taken out. Several threads may use it at once, best those of its own `pool`.

    Args:
        mode: what becomes of personal data, before anything reaches a disk.
        key: of its hashes.
    """

    def __init__(self, mode: privacy.PersonalData = "keep", key: bytes = b"") -> None:
        # nothing may be spilled to a disk as it was sent
        memory = duckdb.connect(config={"temp_directory": "", "memory_limit": "2GB"})
        self._mode = mode
        self.pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="columns")
        self._free: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()  # a connection for each thread at work
        for _ in range(WRITERS):
            con = memory.cursor()
            if mode != "keep":
                privacy.prepare(con, key)
            self._free.put(con)

    def to_columns(
        self,
        table: str,
        rows: Sequence[Json],
        *,
        loaded_at: str,
        custom_fields: Mapping[str, str] | None = None,
        given: Mapping[str, Sequence[str | None]] | None = None,
    ) -> pa.Table:
        """Turn rows of one raw table into its declared columns, all text.

        Args:
            table: raw table, a key of `schema.TABLES`.
            rows: JSON objects as the portal sent them; keys that are not declared are dropped.
            loaded_at: instant of the run, as `to_instant_text` writes it.
            custom_fields: code (`UF_CRM_…`) to type of those that get a column even if no row has them.
            given: values of columns that the rows lack.
        Returns:
            the declared columns, those of custom fields where the table has them, `_loaded_at`, `_deleted_at`.
            Columns of the key are not nullable.
        Raises:
            PortalError: a row lacks a part of its key.
        """
        data = b"".join(rows)
        if b"\\u0000" in data:  # DuckDB would keep the NUL that the escape stands for
            rows = list(map(_storable, rows))
            data = b"".join(rows)
        keys = self._keys(rows, data)
        kinds = dict(custom_fields or {})
        codes = [key for key in keys if key.startswith(CUSTOM_FIELD_PREFIX)]
        given = dict(given or {})
        names = {name: _upper_or_camel(name, keys) for name in schema.TABLES[table]}
        names |= {to_column_name(key): key for key in keys if to_column_name(key) in names}
        names |= {name: key for name, key in schema.ITEM_NAMES.items() if name in names and key in keys}
        if table in schema.WITH_CUSTOM_FIELDS:
            names |= {to_column_name(code): code for code in [*sorted(kinds), *codes]}
        selected = {
            name: self._value(table, name, key, kinds.get(key)) for name, key in names.items() if name not in given
        }
        if table == "deals" and "updatedTime" in keys:
            selected |= {name: f"nullif({selected[name]}, '0')" for name in schema.ZERO_IS_NULL}
        if ALL_CUSTOM_FIELDS in selected:
            values = (self._value(table, to_column_name(code), code, kinds.get(code)) for code in codes)
            pairs = (f"{_literal(code)}, {value}" for code, value in zip(codes, values, strict=True))
            selected[ALL_CUSTOM_FIELDS] = f"cast(json_object({', '.join(pairs)}) as varchar)"
        found = self._select(selected, [*names.values(), *codes], rows, data)
        arrays = {name: pa.array(given[name], pa.string()) if name in given else found.column(name) for name in names}
        arrays["_loaded_at"] = pa.repeat(pa.scalar(loaded_at), len(rows))
        arrays["_deleted_at"] = pa.nulls(len(rows), pa.string())
        for name in schema.KEYS[table]:
            if arrays[name].null_count:
                raise PortalError(
                    f"The portal sent a row of {table} without its {name}, which tells it from the others."
                )
        fields = [pa.field(name, pa.string(), nullable=name not in schema.KEYS[table]) for name in arrays]
        return pa.table(list(arrays.values()), schema=pa.schema(fields))

    def _value(self, table: str, column: str, key: str, kind: str | None) -> str:
        """SQL of the text that is stored of a key's value."""
        treated = privacy.expression(table, column, self._mode, kind)
        return (treated or "{value}").replace("{value}", f"r.{_quoted(key)}")

    def _keys(self, rows: Sequence[Json], data: bytes) -> dict[str, None]:
        """Return every key of the rows that is a custom field's, and how the others are spelled.

        The rows of one list mostly have the same custom fields. So a few rows tell all keys, if the rows hold as many
        codes as that: if not (a field was added between two pages), each is looked at.
        """
        keys = dict.fromkeys(chain.from_iterable(map(keys_of, rows[::KEY_SAMPLE])))
        codes = sum(key.startswith(CUSTOM_FIELD_PREFIX) for key in keys)
        if (rows and not keys) or data.count(b'"UF_') != codes * len(rows):
            found = self._ask("select distinct unnest(json_keys(line)) as key from lines order by key", rows, data)
            keys = dict.fromkeys(found.column("key").to_pylist())
        return keys

    def _select(self, selected: Mapping[str, str], keys: Iterable[str], rows: Sequence[Json], data: bytes) -> pa.Table:
        """Read columns, given as SQL, from the rows' keys."""
        shape = _literal(orjson.dumps(dict.fromkeys(keys, "VARCHAR")).decode())
        columns = ", ".join(f"{value} as {_quoted(name)}" for name, value in selected.items())
        return self._ask(f"select {columns} from (select json_transform(line, {shape}) as r from lines)", rows, data)  # noqa: S608

    def _ask(self, sql: str, rows: Sequence[Json], data: bytes) -> pa.Table:
        """Put a question about the rows, each of them a `line`."""
        con = self._free.get()
        con.register("lines", _lines(rows, data))
        try:
            return con.execute(sql).to_arrow_table()
        finally:
            con.unregister("lines")
            self._free.put(con)


def _lines(rows: Sequence[Json], data: bytes) -> pa.Table:
    """Lay a column `line` over the rows' bytes, in batches that DuckDB's threads can share."""
    lengths = np.fromiter((memoryview(row).nbytes for row in rows), dtype=np.int64, count=len(rows))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    lines = pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(data))
    batches = [lines.slice(start, BATCH_ROWS) for start in range(0, len(rows), BATCH_ROWS)]
    return pa.table({"line": pa.chunked_array(batches, pa.large_string())})


keys_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode  # of one row


def _upper_or_camel(name: str, keys: Collection[str]) -> str:
    """Return the key of a column that no row may have: an old method's if the rows are spelled so."""
    if any(key.isupper() for key in keys if not key.startswith(CUSTOM_FIELD_PREFIX)) or not keys:
        return name.upper()
    return to_camel(name)


def _storable(row: Json) -> bytes:
    return orjson.dumps(_without_nul(orjson.loads(bytes(row))))


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(inner) for key, inner in value.items()}
    return value


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_TABLE_OF = {
    "CRM_LEAD": "leads",
    "CRM_DEAL": "deals",
    "CRM_CONTACT": "contacts",
    "CRM_COMPANY": "companies",
    "CRM_QUOTE": "quotes",
    "CRM_SMART_INVOICE": "smart_invoices",
}


def custom_field_types(definitions: Iterable[Row]) -> dict[str, dict[str, str]]:
    """Return the types of the fields that definitions declare, by raw table and code."""
    types: dict[str, dict[str, str]] = {}
    for row in definitions:
        entity = row.get("ENTITY_ID") or row.get("entityId") or ""
        code = row.get("FIELD_NAME") or row.get("fieldName")
        table = _TABLE_OF.get(entity) or ("process_items" if re.fullmatch(r"CRM_\d+", entity) else None)
        if table and code:
            types.setdefault(table, {})[code] = str(row.get("USER_TYPE_ID") or row.get("userTypeId") or "")
    return types


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
