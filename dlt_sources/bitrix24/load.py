"""The load loop: a portal's tables into the warehouse in bounded packages, each committed together with its place."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import dlt
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dlt_sources.bitrix24 import DATASET, bitrix24, records, schema
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.entities import ENTITIES, PRODUCT_ROWS, Entity, Family
from dlt_sources.bitrix24.errors import ConfigurationError, Kind
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Reader, Row, Walk

OVERLAP = timedelta(minutes=10)
PACKAGE_ROWS = 100_000
PACKAGE_OWNERS = 3_000  # sixty batches of product rows
PIPELINE_NAME = "bitrix24"
# what a read row carries besides the portal's own values, so a difference in it is not a change
BOOKKEEPING = ("_loaded_at", "_owner_date_modify")


@dataclass(frozen=True)
class Position:
    """One table's progress, kept by the ledger."""

    watermark: datetime | None = None  # as_of of the last run whose changes were loaded
    backfill_id: int = 0  # the id up to which the first load is committed
    backfill_done: bool = False
    last_id: int = 0  # highest id loaded (append-only tables)
    wide_date: date | None = None  # day of the last wide overlap, in the reporting zone


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
    note: str = ""  # why it was skipped


class Ledger(Protocol):
    """Where positions are kept between runs."""

    def positions(self) -> Mapping[str, Position]:
        """Return the committed progress by raw table."""

    def save(self, positions: Mapping[str, Position], reports: Sequence[EntityReport]) -> None:
        """Keep progress and totals in one transaction; called after each load package is committed."""


class Progress(Protocol):
    """Told how far a table is: rows so far in this run, and the share of its ids that is read, if known."""

    def __call__(self, entity: str, rows: int, share: float | None) -> None:
        """Show it."""


Loading = Callable[[], AbstractContextManager[object]]


def make_pipeline(warehouse_path: Path, working_dir: Path) -> dlt.Pipeline:
    """Create the dlt pipeline of a warehouse file, with an empty working folder.

    The folder holds nothing that is worth keeping: dlt restores its schemas from the warehouse, and the
    rows of a package that a killed run left behind are read again.
    """
    shutil.rmtree(working_dir / PIPELINE_NAME, ignore_errors=True)
    os.environ["LOAD__DELETE_COMPLETED_JOBS"] = "true"
    return dlt.pipeline(
        pipeline_name=PIPELINE_NAME,
        destination=dlt.destinations.duckdb(str(warehouse_path)),
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
    full: bool = False,
    since: datetime | None = None,
    package_rows: int = PACKAGE_ROWS,
    max_ids: Mapping[str, int] | None = None,
    loading: Loading = nullcontext,
) -> list[EntityReport]:
    """Load every table but product rows: dictionaries whole, the others from their positions on.

    Rows go to the warehouse in packages of about `package_rows`; after each one the ledger keeps every
    table's place, so a killed run goes on behind its last package.

    Args:
        as_of: the portal's clock at the start of the run; becomes `_loaded_at` and the next watermark.
        reporting_tz: zone whose days the daily wide overlap and the currency rates go by.
        full: walk every table from its start again.
        since: on a fresh warehouse, load only what changed from then on; the rest is left to the next plain run.
        max_ids: highest id by raw table (`PortalFacts.max_ids`); makes `progress` know shares.
        loading: entered around the loading of each package.
    Returns:
        one report per raw table, in the order of reading.
    Raises:
        AccessError, PortalUnavailable, PortalError: as the client; what was committed stays.
        ConfigurationError: `full` together with `since`.
    """
    if full and since is not None:
        raise ConfigurationError("A full load and a load since a date exclude each other. Choose one of them.")
    if pipeline.has_pending_data:
        pipeline.abort_packages()
    run = _Run(as_of, as_of.astimezone(ZoneInfo(reporting_tz)).date(), full, since, max_ids or {})
    positions = ledger.positions()
    plans = [_plan(entity, positions.get(entity.table, Position()), run) for entity in ENTITIES]
    plan_of = {id(walk): plan for plan in plans for walk in plan.walks}
    package = _Package(pipeline, as_of, loading)

    def commit() -> None:
        package.commit()
        moved = {plan.entity.table: plan.position() for plan in plans if plan.is_tracked}
        ledger.save(moved, _reports(plans, package))

    for brought in Reader(client).read([walk for plan in plans for walk in plan.walks]):
        for walk, rows in brought:
            plan = plan_of[id(walk)]
            package.add(plan.entity.table, rows, run.today)
            progress(plan.entity.table, package.rows_read[plan.entity.table], plan.share())
        if package.size >= package_rows:
            commit()
    commit()
    return _reports(plans, package)


def load_product_rows(
    client: BitrixClient,
    pipeline: dlt.Pipeline,
    owners: Sequence[tuple[int, str]],
    *,
    as_of: datetime,
    progress: Progress,
    package_owners: int = PACKAGE_OWNERS,
    loading: Loading = nullcontext,
) -> EntityReport:
    """Read the product rows of deals, one command per deal, and replace what the warehouse has of these deals.

    Args:
        owners: (deal id, its raw `date_modify`), the most wanted first.
        package_owners: deals per package; a killed run loses at most one package.
        loading: entered around the loading of each package.
    Returns:
        totals; a deal that the portal refuses is skipped, counted in the note, and stays unread.
    Raises:
        AccessError, PortalUnavailable, PortalError: as the client; what was committed stays.
    """
    if pipeline.has_pending_data:
        pipeline.abort_packages()
    table = PRODUCT_ROWS.table
    report = EntityReport(table, "delta")
    refused: list[str] = []
    package = _Package(pipeline, as_of, loading)
    for start in range(0, len(owners), package_owners):
        chosen = owners[start : start + package_owners]
        walks = {owner: _owner_walk(owner) for owner, _ in chosen}
        owner_of = {id(walk): owner for owner, walk in walks.items()}
        found: dict[int, list[Row]] = {owner: [] for owner in walks}
        done = start
        for brought in Reader(client).read(list(walks.values())):
            for walk, rows in brought:
                found[owner_of[id(walk)]] += rows
                report.rows_read += len(rows)
                done += walk.done
            progress(table, report.rows_read, done / len(owners))
        read = [(owner, modified) for owner, modified in chosen if not walks[owner].note]
        refused += [walk.note for walk in walks.values() if walk.note]
        package.add(
            table,
            [row for owner, modified in read for row in records.product_rows(owner, modified, found[owner])],
        )
        package.commit()
        _charge(report, walks.values())
        if not read:
            break  # the portal refuses the method, not a deal
    report.rows_new, report.rows_changed = package.rows_new[table], package.rows_changed[table]
    if refused:
        report.note = f"{len(refused)} deals not read: {refused[0]}"
    return report


def _owner_walk(owner: int) -> KeysetWalk:
    # a deal may vanish or be locked away between its own reading and that of its rows; the portal has several words
    tolerates = frozenset({Kind.DENIED, Kind.REFUSED, Kind.TRANSIENT})
    return KeysetWalk(PRODUCT_ROWS, where={"=ownerId": owner}, chain=1, tolerates=tolerates)


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
    max_id: int | None = None
    backfill: KeysetWalk | None = None

    @property
    def is_tracked(self) -> bool:
        return self.entity.family in (Family.CHANGES, Family.JOURNAL)

    def share(self) -> float | None:
        if all(walk.done for walk in self.walks):
            return 1.0
        if self.backfill is None or not self.max_id:
            return None
        return min(1.0, self.backfill.last_id / self.max_id)


def _plan(entity: Entity, start: Position, run: _Run) -> _Plan:
    if entity.family is Family.CHANGES:
        return _plan_changes(entity, start, run)
    if entity.family is Family.JOURNAL:
        return _plan_journal(entity, start, run)
    is_keyed = entity.family is Family.KEYED_DICTIONARY
    walk = KeysetWalk(entity, max_id=run.max_ids.get(entity.table)) if is_keyed else OffsetWalk(entity)
    return _Plan(entity, "dictionary", [walk])


def _plan_changes(entity: Entity, start: Position, run: _Run) -> _Plan:
    """Walk by id until everything was read once; from the second run on, what changed as well."""
    is_fresh = run.full or start.watermark is None
    backfill: KeysetWalk | None = None
    delta: KeysetWalk | None = None
    window_from = None
    max_id = run.max_ids.get(entity.table)
    if not is_fresh or run.since is not None:
        window_from = _window_from(entity, start, run)
        delta = KeysetWalk(entity, where=entity.since(window_from))
    if run.since is None and (is_fresh or not start.backfill_done):
        backfill = KeysetWalk(entity, after=0 if is_fresh else start.backfill_id, max_id=max_id)

    def position() -> Position:
        place = start
        if backfill is not None and (backfill.usage.pages or not is_fresh):
            place = replace(place, backfill_id=backfill.last_id, backfill_done=_is_complete(backfill))
        is_covered = _is_complete(delta) if delta is not None else _has_begun(backfill)
        return replace(place, watermark=run.as_of, wide_date=run.today) if is_covered else place

    walks: list[Walk] = [walk for walk in (delta, backfill) if walk is not None]
    mode = "full" if backfill is not None else "delta"
    after_id = backfill.last_id if backfill is not None else None
    return _Plan(entity, mode, walks, position, window_from, after_id, max_id, backfill)


def _plan_journal(entity: Entity, start: Position, run: _Run) -> _Plan:
    """Walk on from the last id, look again at the latest rows before it, and fill what a load since a date left out."""
    if run.full or start.watermark is None:
        start = replace(start, last_id=0, backfill_id=0, backfill_done=False)
    is_fresh = run.full or start.watermark is None
    is_recent_only = is_fresh and run.since is not None
    is_one_walk = not is_recent_only and not start.backfill_done and start.backfill_id >= start.last_id
    max_id = run.max_ids.get(entity.table)
    window_from = None if is_fresh and not is_recent_only else _window_from(entity, start, run)

    tail = KeysetWalk(
        entity,
        after=start.last_id,
        where=entity.since(window_from) if is_recent_only and window_from else None,
        max_id=max_id,
    )
    again: KeysetWalk | None = None
    backfill: KeysetWalk | None = None
    up_to_last = {f"<={entity.filter_id}": start.last_id}
    if not is_fresh and window_from and start.last_id:
        again = KeysetWalk(entity, where={**entity.since(window_from), **up_to_last})
    if not is_fresh and run.since is None and not start.backfill_done and not is_one_walk:
        backfill = KeysetWalk(entity, after=start.backfill_id, where=up_to_last)

    def position() -> Position:
        place = start
        if is_recent_only:
            if _is_complete(tail):
                place = replace(place, last_id=tail.last_id)
        else:
            place = replace(place, last_id=tail.last_id)
        if is_one_walk:
            place = replace(place, backfill_id=tail.last_id, backfill_done=_is_complete(tail))
        elif backfill is not None:
            place = replace(place, backfill_id=backfill.last_id, backfill_done=_is_complete(backfill))
        if is_fresh and not is_recent_only:
            is_covered = _has_begun(tail)
        else:
            is_covered = _is_complete(tail) and (again is None or _is_complete(again))
        return replace(place, watermark=run.as_of, wide_date=run.today) if is_covered else place

    walks: list[Walk] = [walk for walk in (tail, again, backfill) if walk is not None]
    is_full = backfill is not None or is_one_walk
    return _Plan(
        entity,
        "full" if is_full else "delta",
        walks,
        position,
        window_from,
        tail.last_id,
        max_id,
        backfill or (tail if is_one_walk else None),
    )


def _window_from(entity: Entity, start: Position, run: _Run) -> datetime:
    """Begin of the window of changes: the last watermark less an overlap, a wide one once a day."""
    is_wide = start.wide_date != run.today
    overlap = timedelta(days=entity.wide_days) if is_wide else OVERLAP
    starts = [start.watermark - overlap] if start.watermark is not None else []
    return min([*starts, *([run.since] if run.since is not None else [])])


def _is_complete(walk: Walk) -> bool:
    return walk.done and not walk.note


def _has_begun(walk: KeysetWalk | None) -> bool:
    return walk is not None and walk.usage.pages > 0


@dataclass
class _Package:
    """Rows on their way into the warehouse, and what happened to all of them in this run."""

    pipeline: dlt.Pipeline
    as_of: datetime
    loading: Loading = nullcontext
    size: int = 0
    rows_read: Counter[str] = field(default_factory=Counter)
    rows_new: Counter[str] = field(default_factory=Counter)
    rows_changed: Counter[str] = field(default_factory=Counter)
    _codes: dict[str, set[str]] = field(default_factory=lambda: {table: set() for table in schema.WITH_CUSTOM_FIELDS})
    _chunks: dict[str, list[pa.Table]] = field(default_factory=dict)

    def add(self, table: str, rows: Sequence[Row], today: date | None = None) -> None:
        """Take rows of a list and the rows of other tables that follow from them."""
        self._keep(table, rows)
        if table == "custom_fields":
            self._codes = {name: self._codes[name] | codes for name, codes in records.custom_field_codes(rows).items()}
            self._keep("custom_field_options", records.custom_field_options(rows))
        elif table == "currencies" and today is not None:
            self._keep("currency_rates", records.currency_rates(rows, today))

    def commit(self) -> None:
        """Load what was taken, one table after the other, each in a transaction; create what is missing."""
        with self.loading():
            self._load()

    def _load(self) -> None:
        with self.pipeline.sql_client() as sql:
            warehouse = sql.native_connection
            present = _present_columns(warehouse)
            tables = {}
            for table in schema.TABLES:
                empty = self._to_columns(table, [])
                if table not in self._chunks and set(empty.column_names) <= present.get(table, set()):
                    continue
                chunks = [empty, *self._chunks.get(table, [])]
                rows = pa.concat_tables(chunks, promote_options="default").combine_chunks()
                tables[table] = _last_of_each_key(table, rows)
                if tables[table].num_rows:
                    new, changed = _count_differences(warehouse, table, tables[table], present.get(table, set()))
                    self.rows_new[table] += new
                    self.rows_changed[table] += changed
        if tables:
            self.pipeline.run(bitrix24(tables), loader_file_format="parquet")
        self._chunks, self.size = {}, 0

    def _keep(self, table: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        self.rows_read[table] += len(rows)
        self.size += len(rows)
        self._chunks.setdefault(table, []).append(self._to_columns(table, rows))

    def _to_columns(self, table: str, rows: Sequence[Row]) -> pa.Table:
        loaded_at = records.to_instant_text(self.as_of)
        return records.to_columns(table, rows, loaded_at=loaded_at, custom_fields=self._codes.get(table, ()))


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
    if table == PRODUCT_ROWS.table:
        return rows
    keys = zip(*(rows.column(name).to_pylist() for name in schema.KEYS[table]), strict=True)
    last = {key: number for number, key in enumerate(keys)}
    return rows if len(last) == rows.num_rows else rows.take(sorted(last.values()))


def _count_differences(
    warehouse: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, present: set[str]
) -> tuple[int, int]:
    """Count the rows whose key the raw table lacks, and those that it has with other values."""
    if table == PRODUCT_ROWS.table:
        rows = rows.filter(pc.is_valid(rows.column("id")))
    if not present:
        return rows.num_rows, 0
    keys = ("owner_id", "id") if table == PRODUCT_ROWS.table else schema.KEYS[table]
    compared = [name for name in rows.column_names if name in present and name not in (*keys, *BOOKKEEPING)]
    # a column that only one side has differs where it holds a value
    added = [name for name in rows.column_names if name not in present]
    lost = sorted(name for name in present - set(rows.column_names) if not name.startswith("_dlt"))
    differs = [f'incoming."{name}" is distinct from loaded."{name}"' for name in compared]
    differs += [f'incoming."{name}" is not null' for name in added]
    differs += [f'loaded."{name}" is not null' for name in lost]
    on = " and ".join(f'incoming."{name}" = loaded."{name}"' for name in keys)
    warehouse.register("incoming", rows)
    try:
        found = warehouse.execute(
            f"select count(*), count(*) filter (where {' or '.join(differs)}) "  # noqa: S608  names come from our schema
            f'from incoming join "{DATASET}"."{table}" as loaded on {on}'
        ).fetchone()
    finally:
        warehouse.unregister("incoming")
    known, changed = found or (0, 0)
    return rows.num_rows - known, changed


def _reports(plans: Iterable[_Plan], package: _Package) -> list[EntityReport]:
    reports: dict[str, EntityReport] = {}
    for plan in plans:
        table = plan.entity.table
        report = reports.setdefault(table, EntityReport(table, plan.mode, plan.window_from, plan.after_id))
        _charge(report, plan.walks)
        report.note = report.note or next((walk.note for walk in plan.walks if walk.note), "")
        if plan.is_tracked:
            report.watermark = plan.position().watermark
    for derived in ("custom_field_options", "currency_rates"):
        reports[derived] = EntityReport(derived, "dictionary")
    for table, report in reports.items():
        report.rows_read = package.rows_read[table]
        report.rows_new = package.rows_new[table]
        report.rows_changed = package.rows_changed[table]
    return list(reports.values())


def _charge(report: EntityReport, walks: Iterable[Walk]) -> None:
    for usage in (walk.usage for walk in walks):
        report.requests += usage.requests
        report.commands += usage.commands
        report.pages += usage.pages
        report.operating_seconds += usage.operating_s
        report.refusals += usage.refusals
        report.retries += usage.retries
