"""The load loop: a portal's tables into the warehouse in bounded packages, each committed together with its place."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import dlt
import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

from dlt_sources.bitrix24 import DATASET, bitrix24, records, schema
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.entities import (
    ENTITIES,
    Entity,
    Family,
    catalog_entities,
    process_entities,
)
from dlt_sources.bitrix24.errors import ConfigurationError
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Reader, Row, Segment, Walk

OVERLAP = timedelta(minutes=10)
# twice DuckDB's group of rows: fewer than one group of a table would be written twice, to the log and to the table
PACKAGE_ROWS = 245_760
CHUNK_ROWS = 20_480  # turned into columns at once, while the next ones arrive
PIPELINE_NAME = "bitrix24"
WAREHOUSE_MEMORY = "1GB"  # DuckDB would keep as much of the file as the machine has memory
UNREAD: tuple[Segment, ...] = ((0, None),)


@dataclass(frozen=True)
class Position:
    """One list's progress, kept by the ledger.

    Attributes:
        watermark: as_of of the last run whose changes were loaded.
        left: segments of ids that are not loaded yet, ascending; the last one begins above the highest id loaded.
        is_complete: whether everything was read once, up to the beginning of that last segment.
        wide_date: day of the last wide overlap, in the reporting zone.
    """

    watermark: datetime | None = None
    left: tuple[Segment, ...] = UNREAD
    is_complete: bool = False
    wide_date: date | None = None

    @property
    def last_id(self) -> int:
        """The id above which nothing was loaded."""
        return self.left[-1][0]


@dataclass
class EntityReport:
    """Totals of this run for one raw table."""

    entity: str
    mode: str  # "full", "delta" or "dictionary"
    window_from: datetime | None = None
    after_id: int | None = None
    requests: int = 0
    commands: int = 0
    pages: int = 0
    rows_read: int = 0
    rows_new: int = 0  # the key was not in the raw table
    rows_changed: int = 0  # it was, and at least one value differs
    operating_seconds: float = 0.0
    refusals: int = 0
    retries: int = 0
    watermark: datetime | None = None
    note: str = ""  # why it was skipped, or what was odd

    def add(self, other: "EntityReport") -> None:
        """Add another reading of the same table."""
        for name in ("requests", "commands", "pages", "rows_read", "rows_new", "rows_changed", "refusals", "retries"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.operating_seconds += other.operating_seconds
        self.note = self.note or other.note


class Ledger(Protocol):
    """Where positions are kept between runs."""

    def positions(self) -> Mapping[str, Position]:
        """Return the committed progress by list: raw table, or table/part."""

    def save(self, positions: Mapping[str, Position], reports: Sequence[EntityReport]) -> None:
        """Keep progress and totals in one transaction; called after each load package is committed."""


class Progress(Protocol):
    """Told how far a table is: rows so far in this run, and the share of its ids that is read, if known."""

    def __call__(self, entity: str, rows: int, share: float | None) -> None:
        """Show it."""


def nothing(entity: str, rows: int, share: float | None) -> None:
    """Show no progress."""


Loading = Callable[[], AbstractContextManager[object]]


def make_pipeline(warehouse_path: Path, working_dir: Path) -> dlt.Pipeline:
    """Create the dlt pipeline of a warehouse file, with an empty working folder.

    The folder holds nothing that is worth keeping: dlt restores its schemas from the warehouse, and the
    rows of a package that a killed run left behind are read again.
    """
    shutil.rmtree(working_dir / PIPELINE_NAME, ignore_errors=True)
    os.environ["LOAD__DELETE_COMPLETED_JOBS"] = "true"
    credentials = DuckDbCredentials(str(warehouse_path))
    credentials.global_config = {"memory_limit": WAREHOUSE_MEMORY}
    return dlt.pipeline(
        pipeline_name=PIPELINE_NAME,
        destination=dlt.destinations.duckdb(credentials),
        dataset_name=DATASET,
        pipelines_dir=str(working_dir),
    )


def load_portal(
    client: BitrixClient,
    pipeline: dlt.Pipeline,
    ledger: Ledger,
    *,
    as_of: datetime,
    reporting_tz: str,
    progress: Progress,
    writer: records.ColumnWriter | None = None,
    full: bool = False,
    since: datetime | None = None,
    package_rows: int = PACKAGE_ROWS,
    max_ids: Mapping[str, int] | None = None,
    entities: Sequence[Entity] = ENTITIES,
    loading: Loading = nullcontext,
) -> list[EntityReport]:
    """Load every list: dictionaries whole, the others from their positions on.

    Rows go to the warehouse in packages of about `package_rows`; after each one the ledger keeps every
    list's place, so a killed run goes on behind its last package.

    Args:
        as_of: the portal's clock at the start of the run; becomes `_loaded_at` and the next watermark.
        reporting_tz: zone whose days the daily wide overlap and the currency rates go by.
        writer: turns rows into columns; carries what becomes of personal data.
        full: walk every table from its start again.
        since: on a fresh warehouse, load only what changed from then on; the rest is left to the next plain run.
        max_ids: highest id by list (`PortalFacts.max_ids`); lets long lists be read in many requests at once.
        loading: entered around the loading of each package.
    Returns:
        one report per raw table, in the order of reading.
    Raises:
        AccessError, PortalUnavailable, PortalError: as the client; what was committed stays.
        ConfigurationError: `full` together with `since`.
    """
    if full and since is not None:
        raise ConfigurationError("A full load and a load since a date exclude each other. Choose one of them.")
    run = _Run(as_of, as_of.astimezone(ZoneInfo(reporting_tz)).date(), full, since, max_ids or {})
    positions = ledger.positions()
    plans: list[_Plan] = []
    walks: list[Walk] = []
    plan_of: dict[int, _Plan] = {}

    def plan(more: Iterable[Entity]) -> None:
        for entity in more:
            planned = _plan(entity, positions.get(entity.name, Position()), run)
            plans.append(planned)
            walks.extend(planned.walks)
            plan_of.update({id(walk): planned for walk in planned.walks})

    plan(entities)
    package = Package(pipeline, as_of, writer or records.ColumnWriter(), loading)

    def commit() -> None:
        package.commit()
        moved = {plan.entity.name: plan.position() for plan in plans if plan.is_tracked}
        ledger.save(moved, _reports(plans, package))

    for brought in Reader(client).read(walks):
        for walk, rows in brought:
            of = plan_of[id(walk)]
            package.add(of.entity, rows, run.today)
            progress(of.entity.table, package.rows_read[of.entity.table], of.share())
            plan(discovered(of.entity, rows))
        # a field's type decides what becomes of its values: rows wait until all types are known
        package.types_are_known = all(walk.done for plan in plans if plan.defines_fields for walk in plan.walks)
        if package.size >= package_rows:
            commit()
    commit()
    return _reports(plans, package)


def discovered(entity: Entity, rows: Sequence[Row]) -> tuple[Entity, ...]:
    """Return the lists that the rows of another one make known: smart processes, catalogues."""
    build = {"process_types": process_entities, "catalogs": catalog_entities}.get(entity.table)
    return build(orjson.loads(bytes(row)) for row in rows) if build else ()


@dataclass(frozen=True)
class _Run:
    as_of: datetime
    today: date  # in the reporting zone
    full: bool
    since: datetime | None
    max_ids: Mapping[str, int]


@dataclass
class _Plan:
    """How one list is read in this run. `position` gives the place that the rows taken so far cover."""

    entity: Entity
    mode: str
    walks: list[Walk]
    position: Callable[[], Position] = Position
    window_from: datetime | None = None
    after_id: int | None = None
    by_id: KeysetWalk | None = None

    @property
    def is_tracked(self) -> bool:
        return self.entity.daily or self.entity.family in (Family.CHANGES, Family.JOURNAL)

    @property
    def defines_fields(self) -> bool:
        return self.entity.table == "custom_fields"

    def share(self) -> float | None:
        if all(walk.done for walk in self.walks):
            return 1.0
        return None if self.by_id is None else self.by_id.share


def _plan(entity: Entity, start: Position, run: _Run) -> _Plan:
    if run.full:
        start = Position()
    if entity.family is Family.CHANGES:
        return _plan_changes(entity, start, run)
    if entity.family is Family.JOURNAL:
        return _plan_journal(entity, start, run)
    if entity.daily and start.wide_date == run.today:
        return _Plan(entity, "dictionary", [], lambda: start)
    is_keyed = entity.family is Family.KEYED_DICTIONARY
    walk: KeysetWalk | OffsetWalk = (
        KeysetWalk(entity, max_id=run.max_ids.get(entity.name)) if is_keyed else OffsetWalk(entity)
    )

    def position() -> Position:
        return replace(start, watermark=run.as_of, wide_date=run.today) if _is_complete(walk) else start

    return _Plan(entity, "dictionary", [walk], position)


def _plan_changes(entity: Entity, start: Position, run: _Run) -> _Plan:
    """Walk by id until everything was read once; from the second run on, what changed as well."""
    if _held_nothing(start) and run.since is None:
        start = Position()
    is_fresh = start.watermark is None
    delta: KeysetWalk | None = None
    by_id: KeysetWalk | None = None
    window_from = None
    if not is_fresh or run.since is not None:
        window_from = _window_from(entity, start, run)
        delta = KeysetWalk(entity, where=entity.since(window_from), since=window_from)
    if run.since is None and not start.is_complete:
        by_id = KeysetWalk(entity, left=start.left, max_id=run.max_ids.get(entity.name))

    def position() -> Position:
        is_covered = _is_complete(delta) if delta is not None else by_id is not None and by_id.usage.pages > 0
        place = start
        if by_id is not None:
            place = replace(start, left=by_id.left, is_complete=_is_complete(by_id))
        elif is_covered and delta is not None and start.is_complete:
            place = replace(start, left=((max(start.last_id, delta.highest), None),))
        return replace(place, watermark=run.as_of, wide_date=run.today) if is_covered else place

    walks: list[Walk] = [walk for walk in (delta, by_id) if walk is not None]
    mode = "delta" if by_id is None else "full"
    return _Plan(entity, mode, walks, position, window_from, start.left[0][0] if by_id else None, by_id)


def _held_nothing(place: Position) -> bool:
    """Whether a list was read and was empty: what another CRM mode or a right brings to light may be of any age."""
    return place.is_complete and not place.last_id


def _plan_journal(entity: Entity, start: Position, run: _Run) -> _Plan:
    """Walk on from the last id and through what was left before it, and look again at the latest rows."""
    is_fresh = start.watermark is None
    is_recent_only = is_fresh and run.since is not None
    window_from = None if is_fresh and not is_recent_only else _window_from(entity, start, run)
    again: KeysetWalk | None = None
    if is_recent_only and window_from:
        by_id = KeysetWalk(entity, where=entity.since(window_from), since=window_from)
    else:
        # what a load since a date left out is not the business of another one
        left = start.left[-1:] if run.since is not None else start.left
        by_id = KeysetWalk(entity, left=left, max_id=run.max_ids.get(entity.name))
    if not is_fresh and window_from and start.last_id:
        where = {**entity.since(window_from), f"<={entity.filter_id}": start.last_id}
        again = KeysetWalk(entity, where=where, since=window_from)

    def position() -> Position:
        is_read = _is_complete(by_id)
        if is_recent_only:
            # all that is older is left to another run
            place = replace(start, left=((0, by_id.left[-1][0]), by_id.left[-1])) if is_read else start
        elif run.since is not None:
            place = replace(start, left=(*start.left[:-1], *by_id.left))
        else:
            is_whole = is_read or (start.is_complete and len(by_id.left) == 1)
            place = replace(start, left=by_id.left, is_complete=is_whole)
        is_covered = is_read and (again is None or _is_complete(again))
        if is_fresh and not is_recent_only:
            is_covered = by_id.usage.pages > 0
        return replace(place, watermark=run.as_of, wide_date=run.today) if is_covered else place

    walks: list[Walk] = [walk for walk in (by_id, again) if walk is not None]
    mode = "delta" if start.is_complete or is_recent_only else "full"
    return _Plan(entity, mode, walks, position, window_from, start.last_id, by_id)


def _window_from(entity: Entity, start: Position, run: _Run) -> datetime:
    """Begin of the window of changes: the last watermark less an overlap, a wide one once a day."""
    is_wide = start.wide_date != run.today
    overlap = timedelta(days=entity.wide_days) if is_wide else OVERLAP
    starts = [start.watermark - overlap] if start.watermark is not None else []
    return min([*starts, *([run.since] if run.since is not None else [])])


def _is_complete(walk: Walk) -> bool:
    return walk.done and not walk.note


@dataclass
class Package:
    """Rows on their way into the warehouse, and what happened to all of them in this run."""

    pipeline: dlt.Pipeline
    as_of: datetime
    writer: records.ColumnWriter
    loading: Loading = nullcontext
    size: int = 0
    rows_read: Counter[str] = field(default_factory=Counter)
    rows_new: Counter[str] = field(default_factory=Counter)
    rows_changed: Counter[str] = field(default_factory=Counter)
    types_are_known: bool = False  # of all custom fields
    _types: dict[str, dict[str, str]] = field(default_factory=dict)  # of custom fields
    _waiting: dict[tuple[str, str], "_Chunk"] = field(default_factory=dict)  # by table and list
    _columns: dict[str, list[Future[pa.Table]]] = field(default_factory=dict)  # by table

    def add(self, entity: Entity, rows: Sequence[Row], today: date) -> None:
        """Take rows of a list and the rows of other tables that follow from them."""
        rows = [row for row in rows if not _is_skipped(entity, row)] if entity.skip else rows
        is_twins = entity.twin is not None and bool(rows) and entity.id not in records.keys_of(rows[0])
        method = entity.twin.method if is_twins and entity.twin else entity.method
        self.keep(entity.table, rows, entity.constants, f"{method} {entity.part}")
        if entity.table == "custom_fields":
            definitions = [orjson.loads(bytes(row)) for row in rows]
            for table, types in records.custom_field_types(definitions).items():
                self._types.setdefault(table, {}).update(types)
            self._keep_made("custom_field_options", records.custom_field_options(definitions))
        elif entity.table == "currencies":
            currencies = [orjson.loads(bytes(row)) for row in rows]
            self._keep_made("currency_rates", records.currency_rates(currencies, today))

    def keep(self, table: str, rows: Sequence[Row], given: Mapping[str, str], source: str) -> None:
        """Take rows of a table, values of columns that they lack, and what tells apart rows with other keys."""
        if not rows:
            return
        self.rows_read[table] += len(rows)
        self.size += len(rows)
        chunk = self._waiting.setdefault((table, source), _Chunk())
        chunk.add(rows, given)
        if len(chunk.rows) >= CHUNK_ROWS and self.types_are_known:
            self._turn(table, self._waiting.pop((table, source)))

    def _keep_made(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self.keep(table, [Row(orjson.dumps(row)) for row in rows], {}, "")

    def commit(self) -> None:
        """Load what was taken, one table after the other, each in a transaction; create what is missing."""
        with self.loading():
            self._load()

    def _load(self) -> None:
        for (table, _), chunk in self._waiting.items():
            self._turn(table, chunk)
        with self.pipeline.sql_client() as sql:
            warehouse = sql.native_connection
            present = _present_columns(warehouse)
            tables = {}
            for table in schema.TABLES:
                empty = self._to_columns(table, _Chunk())
                if table not in self._columns and set(empty.column_names) <= present.get(table, set()):
                    continue
                read = [columns.result() for columns in self._columns.pop(table, [])]
                rows = pa.concat_tables([empty, *read], promote_options="default")
                rows = _last_of_each_key(table, rows)
                known = 0
                if rows.num_rows:
                    known, changed = _count_differences(warehouse, table, rows, present.get(table, set()))
                    self.rows_new[table] += _countable(table, rows) - known
                    self.rows_changed[table] += changed
                tables[table] = (rows, known > 0)
        if tables:
            self.pipeline.run(bitrix24(tables), loader_file_format="parquet")
        self._waiting, self.size = {}, 0

    def _turn(self, table: str, chunk: "_Chunk") -> None:
        """Have rows turned into columns in the background."""
        self._columns.setdefault(table, []).append(self.writer.pool.submit(self._to_columns, table, chunk))

    def _to_columns(self, table: str, chunk: "_Chunk") -> pa.Table:
        return self.writer.to_columns(
            table,
            chunk.rows,
            loaded_at=records.to_instant_text(self.as_of),
            custom_fields=self._types.get(table),
            given=chunk.given(),
        )


@dataclass
class _Chunk:
    """Rows of one list, which all look alike, and the values that they lack, page by page."""

    rows: list[Row] = field(default_factory=list)
    _lacking: list[tuple[Mapping[str, str], int]] = field(default_factory=list)

    def add(self, rows: Sequence[Row], given: Mapping[str, str]) -> None:
        self.rows.extend(rows)
        self._lacking.append((given, len(rows)))

    def given(self) -> dict[str, list[str | None]]:
        names = dict.fromkeys(name for values, _ in self._lacking for name in values)
        return {
            name: [value for values, count in self._lacking for value in [values.get(name)] * count] for name in names
        }


def _is_skipped(entity: Entity, row: Row) -> bool:
    values = {records.to_column_name(key): value for key, value in orjson.loads(bytes(row)).items()}
    return any(values.get(column) in skipped for column, skipped in entity.skip.items())


def _present_columns(warehouse: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Return the columns of each raw table that exists."""
    found = warehouse.execute(
        "select table_name, list(column_name) from information_schema.columns "
        "where table_schema = ? group by table_name",
        [DATASET],
    ).fetchall()
    return {table: set(columns) for table, columns in found}


def _last_of_each_key(table: str, rows: pa.Table) -> pa.Table:
    """Keep the row that was read last of each key: a row can come both from a first load and from the changes."""
    if table in schema.WITH_EMPTY_OWNERS or not rows.num_rows:
        return rows
    keys = list(schema.KEYS[table])
    numbered = rows.select(keys).append_column("number", pa.array(range(rows.num_rows)))
    last = numbered.group_by(keys).aggregate([("number", "max")]).column("number_max")
    return rows if len(last) == rows.num_rows else rows.take(last.take(pc.sort_indices(last)))


def _countable(table: str, rows: pa.Table) -> int:
    """How many rows there are; an owner without product rows is kept as one without an id."""
    if table not in schema.WITH_EMPTY_OWNERS:
        return int(rows.num_rows)
    return int(pc.sum(pc.is_valid(rows.column("id"))).as_py())


def _count_differences(
    warehouse: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, present: set[str]
) -> tuple[int, int]:
    """Count the rows whose key the raw table has, and how many of them it has with other values."""
    if not present:
        return 0, 0
    keys = (*schema.KEYS[table], *(("id",) if table in schema.WITH_EMPTY_OWNERS else ()))
    on = " and ".join(f'incoming."{name}" = loaded."{name}"' for name in keys)
    join = f'from incoming join "{DATASET}"."{table}" as loaded on {on}'
    compared = [name for name in rows.column_names if name in present and name not in (*keys, "_loaded_at")]
    # a column that only one side has differs where it holds a value
    added = [name for name in rows.column_names if name not in present]
    lost = sorted(name for name in present - set(rows.column_names) if not name.startswith("_dlt"))
    differs = [f'incoming."{name}" is distinct from loaded."{name}"' for name in compared]
    differs += [f'incoming."{name}" is not null' for name in added]
    differs += [f'loaded."{name}" is not null' for name in lost]
    warehouse.register("incoming", rows)
    try:
        known = _count(warehouse, f"select count(*) {join}")
        if not known:
            return 0, 0  # as in a first load: nothing else of the table has to be looked at
        return known, _count(warehouse, f"select count(*) {join} where {' or '.join(differs)}")
    finally:
        warehouse.unregister("incoming")


def _count(warehouse: duckdb.DuckDBPyConnection, sql: str) -> int:
    found = warehouse.execute(sql).fetchone()
    return int(found[0]) if found else 0


def _reports(plans: Iterable[_Plan], package: Package) -> list[EntityReport]:
    reports: dict[str, EntityReport] = {}
    for plan in plans:
        table = plan.entity.table
        report = reports.setdefault(table, EntityReport(table, plan.mode, plan.window_from, plan.after_id))
        charge(report, plan.walks)
        warnings = [walk.warning for walk in plan.walks if isinstance(walk, KeysetWalk)]
        report.note = report.note or next(filter(None, [*(walk.note for walk in plan.walks), *warnings]), "")
        if plan.is_tracked:
            report.watermark = plan.position().watermark
    for derived in ("custom_field_options", "currency_rates"):
        reports[derived] = EntityReport(derived, "dictionary")
    for table, report in reports.items():
        report.rows_read = package.rows_read[table]
        report.rows_new = package.rows_new[table]
        report.rows_changed = package.rows_changed[table]
    return list(reports.values())


def charge(report: EntityReport, walks: Iterable[Walk]) -> None:
    """Add what walks cost to a report."""
    for usage in (walk.usage for walk in walks):
        report.requests += usage.requests
        report.commands += usage.commands
        report.pages += usage.pages
        report.operating_seconds += usage.operating_s
        report.refusals += usage.refusals
        report.retries += usage.retries
