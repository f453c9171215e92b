"""The dbt project's models without dbt: their own text, rendered and run in a DuckDB in memory.

A model is built with everything it refers to, from rows that a test puts into raw tables the way a load does. Only what
the models use of dbt is there.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import duckdb
import jinja2
import orjson
import yaml  # type: ignore[import-untyped]
from traps.mechanism import ROOT, VARS, edited

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.records import ColumnWriter, to_instant_text
from dlt_sources.cbr import COLUMNS
from dlt_sources.files.schema import FILES
from warehouse.ledger import TABLES as LEDGER

PROJECT = ROOT / "dbt_project"
MACRO = re.compile(r"(?P<text>{%-?\s*macro (?P<name>\w+).*?{%-?\s*endmacro\s*-?%})", re.DOTALL)
SNAPSHOT = re.compile(r"{% (end)?snapshot .*?%}")
SCHEMAS = {"bitrix24": "raw_bitrix24", "files": "raw_files", "cbr": "raw_cbr"}  # of dbt's sources
LOADED_AT = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
LATER = datetime.fromisoformat("2026-06-16T12:00:00+03:00")


class _Returned(Exception):  # noqa: N818
    """How a macro gives back a value instead of a text."""


@lru_cache
def _files() -> dict[str, str]:
    """Models, seeds and snapshots by name."""
    found = [*PROJECT.glob("models/**/*.sql"), *PROJECT.glob("seeds/*.csv"), *PROJECT.glob("snapshots/*.sql")]
    return {path.stem: path.relative_to(PROJECT).as_posix() for path in found}


@lru_cache
def _vars() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    return values


@lru_cache
def _seed_types() -> dict[str, dict[str, str]]:
    declared = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in PROJECT.glob("seeds/*.yml")]
    return {seed["name"]: seed["config"]["column_types"] for file in declared for seed in file["seeds"]}


class Project:
    """Raw tables to fill, models to read."""

    def __init__(self) -> None:
        self._con = duckdb.connect()
        self._con.execute("set TimeZone = 'UTC'")
        self._writer = ColumnWriter()
        self._built: set[str] = set()
        self._jinja = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)
        self._compiled = cache(lambda file: self._jinja.from_string(SNAPSHOT.sub("", edited(file))))
        self._prepare()
        self._add_names()

    def raw(self, table: str, *rows: Mapping[str, Any], loaded_at: datetime = LOADED_AT, deleted: bool = False) -> None:
        """Load rows as the portal sent them; a key that is there already is replaced."""
        columns = self._writer.to_columns(
            table, [orjson.dumps(row) for row in rows], loaded_at=to_instant_text(loaded_at)
        )
        present = {row[0] for row in self._con.execute(f"describe raw_bitrix24.{table}").fetchall()}
        for name in set(columns.column_names) - present:
            self._con.execute(f'alter table raw_bitrix24.{table} add column "{name}" varchar')
        self._con.register("incoming", columns)
        same = " and ".join(f'loaded."{key}" = incoming."{key}"' for key in schema.KEYS[table])
        self._con.execute(f"delete from raw_bitrix24.{table} as loaded using incoming where {same}")
        self._con.execute(f"insert into raw_bitrix24.{table} by name from incoming")
        self._con.unregister("incoming")
        if deleted:
            self._con.execute(f"update raw_bitrix24.{table} set _deleted_at = _loaded_at")

    def execute(self, sql: str, *values: Any) -> None:
        self._con.execute(sql, values)

    def read(self, model: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
        """Build a model and read it, ordered by its columns."""
        self._build(model)
        return self._con.execute(f"select {columns} from {model} where {where} order by all").fetchall()

    def give(self, model: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Have rows stand for a model; columns as in `create table`."""
        self._con.execute(f"create table {model} ({columns})")
        for row in rows:
            self._con.execute(f"insert into {model} values ({', '.join('?' * len(row))})", row)
        self._built.add(model)

    def restart(self) -> None:
        """Empty the raw tables and forget the models, as in a new project but without compiling their text again."""
        for name in self._built:
            self._con.execute(f"drop table {name}")
        self._built.clear()
        for table in schema.TABLES:
            self._con.execute(f"delete from raw_bitrix24.{table}")

    def _prepare(self) -> None:
        for name in ("raw_bitrix24", "raw_files", "raw_cbr", "ops"):
            self._con.execute(f"create schema {name}")
        for table, columns in schema.TABLES.items():
            declared = ", ".join(f'"{name}" varchar' for name in (*columns, *schema.OURS))
            self._con.execute(f"create table raw_bitrix24.{table} ({declared})")
        for table, row in FILES.items():
            declared = ", ".join(f'"{name}" varchar' for name in (*row.model_fields, "_loaded_at", "row_number"))
            self._con.execute(f"create table raw_files.{table} ({declared})")
        self._con.execute(f"create table raw_cbr.rates ({', '.join(f'{name} varchar' for name in COLUMNS)})")
        for table, types in LEDGER.items():
            declared = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
            self._con.execute(f"create table ops.{table} ({declared})")
        self._con.execute("insert into ops.sync_runs (run_id, started_at, as_of) values ('r', ?, ?)", [LATER, LATER])

    def _add_names(self) -> None:
        self._jinja.globals |= {
            "config": lambda **_: "",
            "is_incremental": lambda: False,
            "source": lambda source, table: f"{SCHEMAS.get(source, source)}.{table}",
            "ref": self._ref,
            "var": lambda name: {**_vars(), **VARS}[name],
            "execute": True,
            "run_query": self._query,
            "return": _give_back,
            "local_md5": lambda text: hashlib.md5(text.encode()).hexdigest(),
            "modules": SimpleNamespace(re=re),
            "adapter": SimpleNamespace(quote=lambda name: f'"{name}"', get_columns_in_relation=self._columns),
            "dbt": SimpleNamespace(
                date_trunc=lambda part, day: f"date_trunc('{part}', {day})",
                listagg=lambda text, between, order: f"string_agg({text}, {between} {order})",
                dateadd=lambda part, count, day: f"date_add({day}, interval ({count}) {part})",
            ),
        }  # fmt: skip
        for path in sorted(PROJECT.glob("macros/*.sql")):
            for text, name in MACRO.findall(edited(path.relative_to(PROJECT).as_posix())):
                self._jinja.globals[name] = self._macro(name, text)

    def _macro(self, name: str, text: str) -> Callable[..., Any]:
        # compiled at its first call, when all the others that it may call have their names
        compiled = cache(lambda: getattr(self._jinja.from_string(text).module, name))

        def call(*values: Any, **named: Any) -> Any:
            try:
                return compiled()(*values, **named)
            except _Returned as returned:
                return returned.args[0]

        return call

    def _ref(self, name: str) -> str:
        self._build(name)
        return name

    def _build(self, name: str) -> None:
        if name in self._built:
            return
        self._built.add(name)
        file = _files()[name]
        if file.endswith(".csv"):
            types = _seed_types()[name]
            self._con.execute(
                f"create table {name} as from read_csv('{PROJECT / file}', header = true, columns = {types})"
            )
            return
        select = self._compiled(file).render()
        if file.startswith("snapshots/"):  # one that is taken now for the first time
            now = self._jinja.globals["as_of"]()
            select = f"select *, {now} as valid_from, cast(null as timestamptz) as valid_to from ({select})"
        self._con.execute(f"create table {name} as {select}")

    def _query(self, sql: str) -> SimpleNamespace:
        rows = self._con.execute(sql).fetchall()
        columns = [SimpleNamespace(values=lambda place=place: [row[place] for row in rows]) for place in range(1)]
        return SimpleNamespace(rows=rows, columns=columns)

    def _columns(self, relation: str) -> list[dict[str, str]]:
        return [{"name": row[0]} for row in self._con.execute(f"describe {relation}").fetchall()]


def _give_back(value: Any) -> None:
    raise _Returned(value)
