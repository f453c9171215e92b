"""The ledger of runs: schema `ops` of the warehouse. Each call opens the DuckDB file for a moment only."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from slugify import slugify
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from dlt_sources.bitrix24.load import Position
from warehouse.duckdb_file import open_warehouse
from warehouse.errors import PortalMismatch, WarehouseError
from warehouse.settings import WarehousePaths

if TYPE_CHECKING:
    from dlt_sources.bitrix24.load import EntityReport

RAW = "raw_bitrix24"
ERROR_TEXT_LIMIT = 4_000
COLUMN_NAME_LIMIT = 63  # bytes, PostgreSQL's NAMEDATALEN - 1

# A table of an older version gets its missing columns; a column is never dropped or retyped.
TABLES: Mapping[str, Mapping[str, str]] = {
    "portal": {"host": "varchar", "first_seen_at": "timestamptz"},
    "sync_runs": {
        "run_id": "varchar",
        "started_at": "timestamptz",
        "as_of": "timestamptz",
        "status": "varchar",  # started, loaded, built, published, failed
        "finished_at": "timestamptz",
        "error": "varchar",
    },
    "sync_entities": {
        "run_id": "varchar",
        "entity": "varchar",
        "mode": "varchar",
        "window_from": "timestamptz",
        "after_id": "bigint",
        "requests": "bigint",
        "commands": "bigint",
        "pages": "bigint",
        "rows_read": "bigint",
        "rows_new": "bigint",
        "rows_changed": "bigint",
        "operating_seconds": "double",
        "refusals": "bigint",
        "retries": "bigint",
        "watermark": "timestamptz",
        "note": "varchar",
    },
    "positions": {
        "entity": "varchar",
        "watermark": "timestamptz",
        "backfill_id": "bigint",
        "backfill_done": "boolean",
        "last_id": "bigint",
        "wide_date": "date",
    },
    "custom_field_names": {
        "entity_id": "varchar",
        "field_code": "varchar",
        "column_name": "varchar",
        "label": "varchar",
        "first_seen_at": "timestamptz",
    },
}

# Fields of contacts and of companies meet in one table, client_fields, so they share one set of names.
PUBLISHED_TOGETHER = {"CRM_CONTACT": "client", "CRM_COMPANY": "client"}
BASE_COLUMNS = frozenset({"deal_id", "lead_id", "client_key"})
# PostgreSQL refuses these as column names
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})


@dataclass(frozen=True)
class Run:
    """One row of ops.sync_runs; all times UTC."""

    run_id: str
    started_at: datetime
    as_of: datetime
    status: str
    finished_at: datetime | None
    error: str | None


@dataclass(frozen=True)
class TableStatus:
    """One table of the warehouse: its rows, and the run (by the portal's clock, UTC) that last touched it."""

    schema: str
    name: str
    rows: int
    loaded_at: datetime | None


@dataclass(frozen=True)
class WarehouseStatus:
    """What `b24 status` shows. `disk_bytes` is keyed by what lies on the disk: warehouse, dlt, dagster, postgres."""

    portal_host: str | None
    last_run: Run | None
    last_published: Run | None
    tables: tuple[TableStatus, ...]
    disk_bytes: Mapping[str, int]


class Ledger:
    """Runs, progress per entity, the portal's identity and custom-field names of one warehouse.

    Its writers hold the warehouse's lock. Every method may raise WarehouseBusy or WarehouseError, see `open_warehouse`.
    """

    def __init__(self, warehouse_path: Path) -> None:
        self._path = warehouse_path
        self._prepared = False

    # the portal

    def bind_portal(self, host: str, *, redirected_from: str | None = None) -> None:
        """Remember the portal of this warehouse at first sight, and its new name when it was renamed.

        Args:
            host: host[:port] that answers.
            redirected_from: host[:port] of the webhook, where that one only leads on to `host`.
        Raises:
            PortalMismatch: the warehouse holds another portal's data.
        """
        with self._transaction() as con:
            known = _hosts(con)
            if host in known:
                return
            if known and redirected_from not in known:
                raise PortalMismatch(
                    f"The warehouse {self._path} holds the data of {known[0]}, but the webhook belongs to {host}. "
                    "Set WAREHOUSE_PATH to another file for this portal, or correct BITRIX24_WEBHOOK_URL."
                )
            con.execute("insert into ops.portal values (?, ?)", [host, _now()])

    def portal_hosts(self) -> list[str]:
        """The names of the portal this warehouse belongs to, the present one first; empty before the first run."""
        with self._transaction() as con:
            return _hosts(con)

    # runs

    def start_run(self, run_id: str, as_of: datetime) -> None:
        """Begin a run; runs that never ended (killed: we hold the lock, so they are dead) become failed.

        Args:
            run_id: unique; the same id again restarts that run.
            as_of: the portal's clock at the start, with its zone.
        Raises:
            WarehouseError: `as_of` lies before data that is already loaded.
        """
        with self._transaction() as con:
            newest = _scalar(con, "select max(watermark) from ops.positions")
            if newest is not None and as_of < newest:
                raise WarehouseError(
                    f"The warehouse already holds the portal's state of {_utc(newest):%Y-%m-%d %H:%M:%S} UTC, "
                    f"which cannot be rolled back to {_utc(as_of):%Y-%m-%d %H:%M:%S} UTC. "
                    "Leave --as-of out, or give a later time."
                )
            con.execute(
                "update ops.sync_runs set status = 'failed', finished_at = ?, error = 'the run was killed' "
                "where finished_at is null",
                [_now()],
            )
            started = {"started_at": _now(), "as_of": as_of, "status": "started", "finished_at": None, "error": None}
            _upsert(con, "sync_runs", {"run_id": run_id}, started)

    def mark_loaded(self, run_id: str) -> None:
        """Everything of the run is in the raw tables."""
        self._set_status(run_id, "loaded", None, None)

    def mark_built(self, run_id: str) -> None:
        """The run's marts are built and no test of theirs failed: what the warehouse holds may be published."""
        self._set_status(run_id, "built", None, None)

    def finish_run(self, run_id: str) -> None:
        """The run's marts are published."""
        self._set_status(run_id, "published", _now(), None)

    def fail_run(self, run_id: str, error: str, *, built: bool = False) -> None:
        """The run ended early.

        Args:
            run_id: of a started run.
            error: why, already without secrets; cut to 4 000 characters.
            built: its marts are built and tested, only publishing failed: `b24 publish` may try again.
        """
        self._set_status(run_id, "built" if built else "failed", _now(), error[:ERROR_TEXT_LIMIT])

    def latest_run(self) -> Run:
        """The run begun last.

        Raises:
            WarehouseError: there is none yet.
        """
        with self._transaction() as con:
            runs = _runs(con)
        if not runs:
            raise WarehouseError(f"The warehouse {self._path} holds no run yet. Run `b24 sync` first.")
        return runs[0]

    def _set_status(self, run_id: str, status: str, finished_at: datetime | None, error: str | None) -> None:
        with self._transaction() as con:
            changed = con.execute(
                "update ops.sync_runs set status = ?, finished_at = ?, error = ? where run_id = ? returning run_id",
                [status, finished_at, error, run_id],
            ).fetchall()
            if not changed:
                raise WarehouseError(f"The warehouse {self._path} knows no run {run_id}.")

    # progress

    def positions(self) -> Mapping[str, Position]:
        """Progress of every entity that has been loaded at least in part; times UTC."""
        with self._transaction() as con:
            rows = con.execute(
                "select entity, watermark, backfill_id, backfill_done, last_id, wide_date from ops.positions"
            ).fetchall()
        return {
            entity: Position(_utc(watermark), backfill_id, backfill_done, last_id, wide_date)
            for entity, watermark, backfill_id, backfill_done, last_id, wide_date in rows
        }

    def save(self, positions: Mapping[str, Position], reports: Sequence["EntityReport"]) -> None:
        """Keep the progress and the run's totals so far, in one transaction; called after each committed load package.

        Args:
            positions: of the entities that moved; others stay as they are.
            reports: totals of the current run; they replace this run's earlier totals of the same entity.
        Raises:
            WarehouseError: no run is under way.
        """
        with self._transaction() as con:
            run_id = _scalar(
                con,
                "select arg_max(run_id, started_at) from ops.sync_runs where status in ('started', 'loaded')",
            )
            if run_id is None:
                raise WarehouseError("No run is under way: progress is saved only between start_run and its end.")
            for entity, position in positions.items():
                _upsert(con, "positions", {"entity": entity}, asdict(position))
            for report in reports:
                totals = asdict(report)
                _upsert(con, "sync_entities", {"run_id": run_id, "entity": totals.pop("entity")}, totals)

    def reports(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Totals of one run: entity -> the columns of ops.sync_entities but the keys."""
        with self._transaction() as con:
            cursor = con.execute("select * exclude (run_id) from ops.sync_entities where run_id = ?", [run_id])
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return {row.pop("entity"): row for row in rows}

    # what is to be read and how it is called

    def owners_to_read(self, limit: int) -> list[tuple[int, str]]:
        """Deals whose product rows were never read or whose deal changed since: (deal id, raw `date_modify`).

        Closed deals first, the latest closed at the head, since revenue by product needs them; then the others,
        the newest first.
        """
        with self._transaction() as con:
            if not _exists(con, RAW, "deals"):
                return []
            return con.execute(_OWNERS_SQL[_exists(con, RAW, "deal_product_rows")] + " limit ?", [limit]).fetchall()

    def owners_left(self) -> int:
        """How many deals `owners_to_read` would give without a limit."""
        with self._transaction() as con:
            if not _exists(con, RAW, "deals"):
                return 0
            owners = _OWNERS_SQL[_exists(con, RAW, "deal_product_rows")]
            return int(_scalar(con, f"select count(*) from ({owners})"))  # noqa: S608 - both texts are ours

    def fix_custom_field_names(self) -> int:
        """Give each custom field seen for the first time its column name, for good; returns how many were new.

        The name is the label in Latin letters (`Дата отгрузки` -> `data_otgruzki`), the field's code when nothing is
        left of the label, with a number when it is taken, reserved, or one of the tables' own columns. A label
        changed later changes nothing, so neither reports nor analysts' views break.
        """
        with self._transaction() as con:
            if not _exists(con, RAW, "custom_fields"):
                return 0
            taken: dict[str, set[str]] = {}
            for entity_id, name in con.execute("select entity_id, column_name from ops.custom_field_names").fetchall():
                taken.setdefault(PUBLISHED_TOGETHER.get(entity_id, entity_id), set()).add(name)
            new = con.execute(_NEW_FIELDS_SQL).fetchall()
            reserved = _reserved_names(con)
            for entity_id, code, *labels in new:
                label = next(filter(None, map(_label, labels)), None)
                names = taken.setdefault(PUBLISHED_TOGETHER.get(entity_id, entity_id), set())
                name = column_name(label, code, names | reserved)
                names.add(name)
                con.execute(
                    "insert into ops.custom_field_names values (?, ?, ?, ?, ?)", [entity_id, code, name, label, _now()]
                )
        return len(new)

    def custom_field_labels(self) -> dict[str, dict[str, str]]:
        """The portal's label of each custom field at first sight: `CRM_DEAL` -> column name -> label."""
        with self._transaction() as con:
            rows = con.execute("select entity_id, column_name, coalesce(label, field_code) from ops.custom_field_names")
            labels: dict[str, dict[str, str]] = {}
            for entity_id, name, label in rows.fetchall():
                labels.setdefault(entity_id, {})[name] = label
        return labels

    # the file

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_warehouse(self._path) as con:
            con.begin()
            if not self._prepared:
                _prepare(con)
            yield con  # an exception closes the connection, which rolls back
            con.commit()
            self._prepared = True


def _label(text: str | None) -> str | None:
    """A label as the portal's people read it; some methods send one per language, Russian taken first."""
    try:
        value = json.loads(text or "")
    except ValueError:
        value = text
    if isinstance(value, dict):
        value = [value.get("ru"), *value.values()]
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, str) and one.strip()), None)
    return str(text if isinstance(value, int | float) else value or "").strip() or None


def column_name(label: str | None, code: str, taken: set[str] | frozenset[str]) -> str:
    """A readable column name: lower snake_case ASCII, at most 63 bytes, not in `taken`."""
    name = slugify(label or "", separator="_") or slugify(code, separator="_")
    if name[:1].isdigit():
        name = f"n_{name}"  # `1c_kod` would need quotes in every query
    name = name[:COLUMN_NAME_LIMIT].rstrip("_")
    unique, number = name, 2
    while unique in taken:
        suffix = f"_{number}"
        unique, number = name[: COLUMN_NAME_LIMIT - len(suffix)].rstrip("_") + suffix, number + 1
    return unique


def read_status(warehouse_path: Path, *, wait_seconds: float = 1.0) -> WarehouseStatus:
    """Read what the warehouse holds, without writing to it.

    Raises:
        WarehouseBusy: a run holds the file.
        WarehouseError: there is no warehouse yet, or it cannot be read.
    """
    with open_warehouse(warehouse_path, read_only=True, wait_seconds=wait_seconds) as con:
        has_ops = _exists(con, "ops", "sync_runs")
        runs = _runs(con) if has_ops else []
        hosts = _hosts(con) if has_ops else []
        tables = tuple(_table_status(con, *names) for names in con.execute(_STATUS_TABLES_SQL).fetchall())
    places = asdict(WarehousePaths.of(warehouse_path))
    return WarehouseStatus(
        portal_host=hosts[0] if hosts else None,
        last_run=runs[0] if runs else None,
        last_published=next((run for run in runs if run.status == "published"), None),
        tables=tables,
        disk_bytes={name: _size(place) for name, place in places.items() if name != "lock"},
    )


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create schema if not exists ops")
    for table, columns in TABLES.items():
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        con.execute(f"create table if not exists ops.{table} ({declared})")
        present = {row[0] for row in con.execute(f"describe ops.{table}").fetchall()}
        for name, kind in columns.items():
            if name not in present:
                con.execute(f"alter table ops.{table} add column {name} {kind}")


def _upsert(con: duckdb.DuckDBPyConnection, table: str, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    row = {**key, **values}
    unknown = row.keys() - TABLES[table].keys()
    if unknown:
        raise WarehouseError(f"ops.{table} has no column {', '.join(sorted(unknown))}.")
    where = " and ".join(f"{name} = ?" for name in key)
    con.execute(f"delete from ops.{table} where {where}", list(key.values()))  # noqa: S608 - names come from TABLES
    marks = ", ".join("?" for _ in row)
    con.execute(f"insert into ops.{table} ({', '.join(row)}) values ({marks})", list(row.values()))  # noqa: S608


def _reserved_names(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    keywords = con.execute(
        "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
    ).fetchall()
    return BASE_COLUMNS | SYSTEM_COLUMNS | frozenset(RESERVED_WORDS) | {row[0] for row in keywords}


def _hosts(con: duckdb.DuckDBPyConnection) -> list[str]:
    return [row[0] for row in con.execute("select host from ops.portal order by first_seen_at desc").fetchall()]


def _runs(con: duckdb.DuckDBPyConnection) -> list[Run]:
    rows = con.execute(
        "select run_id, started_at, as_of, status, finished_at, error from ops.sync_runs order by started_at desc"
    ).fetchall()
    return [
        Run(run_id, _utc(started_at), _utc(as_of), status, _utc(finished_at), error)
        for run_id, started_at, as_of, status, finished_at, error in rows
    ]


def _table_status(con: duckdb.DuckDBPyConnection, schema: str, name: str, has_loaded_at: bool) -> TableStatus:
    loaded_at = "max(try_cast(_loaded_at as timestamptz))" if has_loaded_at else "null"
    rows, latest = con.table(f'"{schema}"."{name}"').aggregate(f"count(*), {loaded_at}").fetchall()[0]
    return TableStatus(schema, name, rows, _utc(latest))


def _exists(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    found = "select count(*) from information_schema.tables where table_schema = ? and table_name = ?"
    return bool(_scalar(con, found, [schema, table]))


def _scalar(con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] = ()) -> Any:
    row = con.execute(query, list(parameters)).fetchone()
    return row[0] if row else None


def _now() -> datetime:
    return datetime.now(UTC)


def _utc(moment: Any) -> Any:
    """DuckDB hands out instants in pytz zones; ours are in datetime's own UTC."""
    return moment.astimezone(UTC) if moment is not None else None


def _size(place: Path) -> int:
    """Bytes on disk of a file with its write-ahead log, or of a folder; what vanishes or is closed to us counts 0."""
    found = [place, place.with_name(place.name + ".wal"), *place.rglob("*")]
    total = 0
    for item in found:
        try:
            total += item.lstat().st_size if not item.is_dir() else 0
        except OSError:
            continue
    return total


_DEALS_SQL = f"select cast(d.id as bigint), coalesce(d.date_modify, '') from {RAW}.deals as d "  # noqa: S608
_ORDER_SQL = """
    order by
        coalesce(d.closed, '') = 'Y' desc,
        case when d.closed = 'Y' then try_cast(d.moved_time as timestamptz) end desc nulls last,
        cast(d.id as bigint) desc
"""
# keyed by whether product rows have been loaded before
_OWNERS_SQL = {
    False: f"{_DEALS_SQL} where d._deleted_at is null {_ORDER_SQL}",
    True: f"""
        {_DEALS_SQL}
        left join (
            select owner_id, max(_owner_date_modify) as read_of from {RAW}.deal_product_rows group by owner_id
        ) as p on p.owner_id = d.id
        where
            d._deleted_at is null
            and (p.owner_id is null or coalesce(p.read_of, '') <> coalesce(d.date_modify, ''))
        {_ORDER_SQL}
    """,  # noqa: S608
}
_NEW_FIELDS_SQL = f"""
    select
        f.entity_id,
        f.field_name,
        f.edit_form_label,
        f.list_column_label
    from {RAW}.custom_fields as f
    anti join ops.custom_field_names as n on n.entity_id = f.entity_id and n.field_code = f.field_name
    order by f.entity_id, try_cast(f.id as bigint), f.field_name
"""  # noqa: S608
_STATUS_TABLES_SQL = """
    select t.schema_name, t.table_name, count(c.column_name) > 0
    from duckdb_tables() as t
    left join duckdb_columns() as c
        on c.table_oid = t.table_oid and c.schema_name = t.schema_name and c.column_name = '_loaded_at'
    where t.schema_name in ('raw_bitrix24', 'raw_files', 'core', 'marts') and not starts_with(t.table_name, '_dlt_')
        and t.database_name = current_database()
    group by t.schema_name, t.table_name
    order by position(t.schema_name in 'raw_bitrix24 raw_files core marts'), t.table_name
"""
