"""The ledger of runs: schema `ops` of the warehouse. Each call opens the DuckDB file for a moment only."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from slugify import slugify
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from dlt_sources.bitrix24 import drift
from dlt_sources.bitrix24.details import Owner
from dlt_sources.bitrix24.load import Position
from dlt_sources.bitrix24.records import to_instant_text
from warehouse.duckdb_file import open_warehouse
from warehouse.errors import PortalMismatch, WarehouseError
from warehouse.settings import WarehousePaths

if TYPE_CHECKING:
    from dlt_sources.bitrix24.details import Detail, Moment, OwnerRead
    from dlt_sources.bitrix24.load import EntityReport
    from dlt_sources.bitrix24.preflight import Rights
    from dlt_sources.bitrix24.sweep import Check
    from dlt_sources.files import FileRead

RAW = "raw_bitrix24"
ERROR_TEXT_LIMIT = 4_000
FINGERPRINT = "keys of "  # of a list, in ops.facts
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
        "segments_left": "varchar",  # JSON: [[above id, up to id or null], ...]
        "is_complete": "boolean",
        "wide_date": "date",
    },
    # the ids of a list beside the portal's; the latest check in which nothing differed proves it complete
    "id_checks": {
        "run_id": "varchar",
        "entity": "varchar",
        "checked_at": "timestamptz",
        "is_equal": "boolean",
        "portal_ids": "bigint",
        "warehouse_ids": "bigint",
        "missing": "bigint",
        "extra": "bigint",
        "marked": "bigint",
        "healed": "bigint",
        "requests": "bigint",
        "commands": "bigint",
        "operating_seconds": "double",
        "note": "varchar",
    },
    # of the latest check of each list
    "id_buckets": {
        "run_id": "varchar",
        "entity": "varchar",
        "low": "bigint",
        "high": "bigint",
        "portal_count": "bigint",
        "portal_hash": "varchar",
        "warehouse_count": "bigint",
        "warehouse_hash": "varchar",
    },
    # what was read owner by owner: product rows of a deal, the history of a task; as of which version of the owner
    "detail_owners": {
        "detail": "varchar",  # raw table
        "owner_type": "varchar",
        "owner_id": "bigint",
        "version": "varchar",
        "asked_at": "timestamptz",
        "read_at": "timestamptz",  # null: never, for the portal refused
        "row_count": "bigint",
        "refusal": "varchar",
    },
    "detail_coverage": {
        "detail": "varchar",
        "owner_type": "varchar",
        "owners": "bigint",
        "owners_read": "bigint",
        "owners_refused": "bigint",
        "counted_at": "timestamptz",
    },
    "facts": {"name": "varchar", "value": "varchar"},
    # what administrators of the portal did to custom fields; one row per change, see dlt_sources/bitrix24/drift.py
    "schema_changes": {
        "run_id": "varchar",
        "seen_at": "timestamptz",
        "entity_id": "varchar",
        "field_name": "varchar",
        "change": "varchar",
        "before": "varchar",
        "after": "varchar",
    },
    # of the latest run: what became of each file of INPUTS_PATH
    "input_files": {
        "run_id": "varchar",
        "file_name": "varchar",
        "table_name": "varchar",  # of raw_files; empty: no input file has this name
        "is_accepted": "boolean",
        "rows": "bigint",  # in the warehouse; of a file that was left out, those of its last good version
        "error": "varchar",
        "row_number": "bigint",
        "column_name": "varchar",
        "note": "varchar",
        "read_at": "timestamptz",
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
class Proof:
    """One list: when its ids were last compared with the portal's, and when they were last found equal; UTC."""

    entity: str
    checked_at: datetime
    equal_at: datetime | None
    note: str


@dataclass(frozen=True)
class WarehouseStatus:
    """What `b24 status` shows. `disk_bytes` is keyed by what lies on the disk: warehouse, dlt, dagster, postgres."""

    portal_host: str | None
    last_run: Run | None
    last_published: Run | None
    tables: tuple[TableStatus, ...]
    proofs: tuple[Proof, ...]
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
                "select entity, watermark, segments_left, is_complete, wide_date from ops.positions"
            ).fetchall()
        return {
            entity: Position(_utc(watermark), tuple(map(tuple, json.loads(left))), is_complete, wide_date)
            for entity, watermark, left, is_complete, wide_date in rows
            if left  # an older version told its progress in another way: it is read again
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
                place = asdict(position)
                place["segments_left"] = json.dumps(place.pop("left"))
                _upsert(con, "positions", {"entity": entity}, place)
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

    # proofs of completeness

    def save_checks(self, run_id: str, checks: Sequence["Check"]) -> None:
        """Keep what comparing ids with the portal has told."""
        with self._transaction() as con:
            for check in checks:
                counts = {"missing": len(check.missing), "extra": len(check.extra), "is_equal": check.is_equal}
                names = ("checked_at", "portal_ids", "warehouse_ids", "marked", "healed", "requests", "commands")
                values = {name: getattr(check, name) for name in (*names, "operating_seconds", "note")}
                _upsert(con, "id_checks", {"run_id": run_id, "entity": check.entity}, {**values, **counts})
                con.execute("delete from ops.id_buckets where entity = ?", [check.entity])
                for bucket in check.buckets:
                    key = {"entity": check.entity, "low": bucket.low}
                    _upsert(con, "id_buckets", key, {"run_id": run_id, **asdict(bucket)})

    def checked_at(self) -> Mapping[str, datetime]:
        """When the ids of each list were last compared, whatever came of it; UTC."""
        with self._transaction() as con:
            rows = con.execute("select entity, max(checked_at) from ops.id_checks group by entity").fetchall()
        return {entity: _utc(checked_at) for entity, checked_at in rows}

    def lost_rights(self, rights: "Rights") -> str:
        """Say what the webhook may see no more that it could when its rights were accepted, "" if nothing.

        Rights that are not less are accepted: from the first ones on, deletions are judged by them.
        """
        with self._transaction() as con:
            known = _scalar(con, "select value from ops.facts where name = 'rights'")
            lost = rights.less_than(rights.from_json(known)) if known else ""
            if not lost:
                _upsert(con, "facts", {"name": "rights"}, {"value": rights.to_json()})
        return lost

    def accept_rights(self, rights: "Rights") -> None:
        """Judge deletions by these rights from now on, although they are less than before."""
        with self._transaction() as con:
            _upsert(con, "facts", {"name": "rights"}, {"value": rights.to_json()})

    def changed_fact(self, name: str, value: str) -> bool:
        """Keep a fact about the warehouse; returns whether it was known with another value."""
        with self._transaction() as con:
            known = _scalar(con, "select value from ops.facts where name = ?", [name])
            _upsert(con, "facts", {"name": name}, {"value": value})
        return known is not None and known != value

    def keep_fingerprints(self, fingerprints: Mapping[str, str]) -> None:
        """Keep what a sync left of the lists that are read whole, by list."""
        with self._transaction() as con:
            for entity, fingerprint in fingerprints.items():
                _upsert(con, "facts", {"name": f"{FINGERPRINT}{entity}"}, {"value": fingerprint})

    def fingerprints(self) -> dict[str, str]:
        """What `keep_fingerprints` was given last."""
        with self._transaction() as con:
            rows = con.execute("select name, value from ops.facts where starts_with(name, ?)", [FINGERPRINT]).fetchall()
        return {name.removeprefix(FINGERPRINT): value for name, value in rows}

    # what is to be read and how it is called

    def owners_to_read(self, detail: "Detail", moment: "Moment", limit: int) -> list[Owner]:
        """Owners whose rows were never read, or whose version is another one since; the most wanted first.

        Who was refused is asked again after a day, behind all others; who had no rows, after the detail's idle days.
        """
        with self._transaction() as con:
            if limit <= 0 or not _exists(con, RAW, detail.owners):
                return []
            waiting = f"select * from ({_owners_sql(detail)}) where is_waiting {_OWNERS_ORDER_SQL} limit ?"  # noqa: S608
            rows = con.execute(waiting, [*_owners_of(detail, moment), limit]).fetchall()
        names = list(detail.values)
        return [
            Owner(kind, owner_id, version, _utc(read_at), dict(zip(names, values, strict=True)))
            for kind, owner_id, version, read_at, values, *_ in rows
        ]

    def save_owners(self, table: str, moment: "Moment", owners: Sequence["OwnerRead"]) -> None:
        """Keep what came of some owners of a raw table; called after each committed load package."""
        with self._transaction() as con:
            values = {
                "owner_type": [one.owner.type for one in owners],
                "owner_id": [one.owner.id for one in owners],
                "version": [one.owner.version for one in owners],
                "read_at": [one.owner.read_at if one.refusal else moment.as_of for one in owners],
                "row_count": [one.rows for one in owners],
                "refusal": [one.refusal for one in owners],
            }
            arrays = {name: pa.array(column, _OWNER_TYPES.get(name)) for name, column in values.items()}
            con.register("incoming", pa.table(arrays))
            con.execute(
                "delete from ops.detail_owners as known using incoming where known.detail = ? "
                "and known.owner_type = incoming.owner_type and known.owner_id = incoming.owner_id",
                [table],
            )
            con.execute(
                "insert into ops.detail_owners (detail, owner_type, owner_id, version, asked_at, read_at, row_count, "
                "refusal) select ?, owner_type, owner_id, version, ?, read_at, row_count, refusal from incoming",
                [table, moment.as_of],
            )
            con.unregister("incoming")

    def forget_owners(self) -> None:
        """Let all details be read again, in as many runs as their limits need."""
        with self._transaction() as con:
            con.execute("delete from ops.detail_owners")

    def save_coverage(self, details: Sequence["Detail"], moment: "Moment") -> dict[str, int]:
        """Count how many owners were read, and keep it; returns how many are left to the next runs, by raw table."""
        left: dict[str, int] = {}
        with self._transaction() as con:
            con.execute("delete from ops.detail_coverage")
            for detail in details:
                left.setdefault(detail.table, 0)
                if not _exists(con, RAW, detail.owners):
                    continue
                counted = con.execute(
                    "select owner_type, count(*), count(*) filter (where is_read), count(*) filter (where is_refused), "  # noqa: S608
                    f"count(*) filter (where is_waiting) from ({_owners_sql(detail)}) group by owner_type",
                    _owners_of(detail, moment),
                ).fetchall()
                for kind, owners, read, refused, waiting in counted:
                    key = {"detail": detail.table, "owner_type": kind}
                    counts = {"owners": owners, "owners_read": read, "owners_refused": refused}
                    _upsert(con, "detail_coverage", key, {**counts, "counted_at": moment.as_of})
                    left[detail.table] += waiting
        return left

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

    def note_schema_changes(self, run_id: str, loaded_at: datetime, *, is_whole: bool) -> list[drift.Change]:
        """Compare the custom fields as this run read them with those that were known, and keep what changed.

        What was known is kept apart from the raw tables, so a run that is killed before it comes here loses no change.
        The first run has nothing to compare with.

        Args:
            run_id: of the present run.
            loaded_at: `_loaded_at` of its rows.
            is_whole: whether all lists of fields were read; if not, an entity without a field in this run is left out.
        """
        with self._transaction() as con:
            if not _exists(con, RAW, "custom_fields"):
                return []
            read = drift.definitions(con, to_instant_text(loaded_at))
            text = _scalar(con, "select value from ops.facts where name = 'custom_fields'")
            known = drift.from_json(text) if text else []
            seen = {field.entity_id for field in read}
            unread = [] if is_whole else [field for field in known if field.entity_id not in seen]
            found = drift.changes(known, [*read, *unread]) if text else []
            for change in found:
                values = [run_id, loaded_at, *astuple(change)]
                con.execute("insert into ops.schema_changes values (?, ?, ?, ?, ?, ?, ?)", values)
            _upsert(con, "facts", {"name": "custom_fields"}, {"value": drift.to_json([*read, *unread])})
        return found

    def save_input_files(self, run_id: str, files: Sequence["FileRead"], read_at: datetime) -> None:
        """Keep what became of each input file in place of what earlier runs saw.

        Args:
            run_id: of the present run.
            read_at: `as_of` of that run, which is `_loaded_at` of the rows it read.
        """
        with self._transaction() as con:
            con.execute("delete from ops.input_files")
            for file in files:
                found = {"is_accepted": file.error is None, "rows": file.rows, "error": file.error, "note": file.note}
                place = {"row_number": file.row, "column_name": file.column, "read_at": read_at}
                named = {"run_id": run_id, "table_name": file.table}
                _upsert(con, "input_files", {"file_name": file.file}, named | found | place)

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
        proofs = _proofs(con) if _exists(con, "ops", "id_checks") else ()
        tables = tuple(_table_status(con, *names) for names in con.execute(_STATUS_TABLES_SQL).fetchall())
    places = asdict(WarehousePaths.of(warehouse_path))
    return WarehouseStatus(
        portal_host=hosts[0] if hosts else None,
        last_run=runs[0] if runs else None,
        last_published=next((run for run in runs if run.status == "published"), None),
        tables=tables,
        proofs=proofs,
        disk_bytes={name: _size(place) for name, place in places.items() if name != "lock"},
    )


def _proofs(con: duckdb.DuckDBPyConnection) -> tuple[Proof, ...]:
    rows = con.execute(
        "select entity, max(checked_at), max(checked_at) filter (where is_equal), arg_max(note, checked_at) "
        "from ops.id_checks group by entity order by entity"
    ).fetchall()
    return tuple(Proof(entity, _utc(checked), _utc(equal), note or "") for entity, checked, equal, note in rows)


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


def _owners_of(detail: "Detail", moment: "Moment") -> list[Any]:
    return [moment.today.isoformat(), moment.as_of, detail.table]


def _owners_sql(detail: "Detail") -> str:
    """Every owner of a detail: what is known of him, and whether he waits. Its parameters come from `_owners_of`."""
    # a chat may have several activities, and the company one calendar, whoever works there
    once = ""
    if detail.id != "id":
        partition = f"partition by {detail.type}, cast({detail.id} as bigint)"
        once = f"qualify row_number() over ({partition} order by {detail.version} desc, id desc) = 1"
    values = ", ".join(f"coalesce({sql}, '')" for sql in detail.values.values())
    return f"""
        with moment as (select cast(? as varchar) as today, cast(? as timestamptz) as as_of),

        owners as (
            select
                {detail.type} as owner_type,
                cast({detail.id} as bigint) as owner_id,
                coalesce({detail.version}, '') as version,
                cast([{values}] as varchar[]) as owner_values,
                coalesce({detail.first}, false) as is_first,
                try_cast({detail.latest} as timestamptz) as latest,
                moment.as_of

            from {RAW}.{detail.owners}, moment
            where _deleted_at is null and {detail.where}
            {once}
        )

        select
            owners.owner_type,
            owners.owner_id,
            owners.version,
            known.read_at,
            owners.owner_values,
            owners.is_first,
            owners.latest,
            known.read_at is not null and known.refusal = '' as is_read,
            coalesce(known.refusal, '') <> '' as is_refused,
            -- a day is somewhat less than 24 hours, or a daily run would slip
            known.owner_id is null
            or (
                known.version <> owners.version
                and (known.row_count > 0 or known.asked_at <= owners.as_of - interval '{24 * detail.idle_days} hours')
            )
            or (
                known.refusal <> ''
                and known.asked_at <= owners.as_of - interval '{24 * max(1, detail.idle_days) - 4} hours'
            ) as is_waiting

        from owners
        left join ops.detail_owners as known
            on known.detail = ? and known.owner_type = owners.owner_type and known.owner_id = owners.owner_id
    """  # noqa: S608 - all texts are ours


_OWNERS_ORDER_SQL = (
    "order by is_refused, is_first desc, case when is_first then latest end desc nulls last, owner_id desc"
)
_OWNER_TYPES = {"owner_id": pa.int64(), "row_count": pa.int64(), "read_at": pa.timestamp("us", tz="UTC")}
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
    where t.schema_name in ('raw_bitrix24', 'raw_files', 'raw_cbr', 'snapshots', 'core', 'marts')
        and not starts_with(t.table_name, '_dlt_') and t.database_name = current_database()
    group by t.schema_name, t.table_name
    order by position(t.schema_name in 'raw_bitrix24 raw_files raw_cbr snapshots core marts'), t.table_name
"""
