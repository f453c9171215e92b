"""Deletions and the proof of completeness: ids of the portal beside ids of the warehouse.

REST tells of no deletion, so every id of a list is read and compared with what the warehouse holds. Rows that are gone
get a tombstone (`_deleted_at`) and are never removed; rows that are missing here are read again.

Source: Bitrix24 REST docs, huge-data.md; events/index.md for what tells of deletions (nothing a webhook may use).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import dlt
import duckdb
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from dlt_sources.bitrix24 import DATASET, records, schema
from dlt_sources.bitrix24.client import PAGE_SIZE, BitrixClient
from dlt_sources.bitrix24.details import details_followers
from dlt_sources.bitrix24.entities import ENTITIES, Entity, Family, process_entities
from dlt_sources.bitrix24.errors import PortalError
from dlt_sources.bitrix24.load import PACKAGE_ROWS, Loading, Package, Progress, discovered, nothing
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Reader, Row, Segment, Walk, read_page

BUCKET_IDS = 100_000
GUARD_SHARE = 0.1
GUARD_LEAST = 20  # so few rows may always vanish: of five companies one is a fifth

Key = tuple[str, ...]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bucket:
    """Ids from `low` up to but not `high`: how many there are, and the MD5 of them, joined by commas, ascending."""

    low: int
    high: int
    portal_count: int
    portal_hash: str
    warehouse_count: int
    warehouse_hash: str


@dataclass
class Check:
    """The ids of one list, there and here.

    Attributes:
        entity: list, as in the ledger: raw table, or table/part.
        checked_at: the portal's clock when its ids were read, UTC.
        portal_ids: living rows there; `warehouse_ids` here, tombstones not counted.
        missing: keys that the portal has and the warehouse lacks, or has as deleted.
        extra: keys that the warehouse holds as living and the portal lacks, after a second look.
        marked: rows that got a tombstone in this check, those that vanish with a row of the list included.
        healed: rows that were read again.
        note: why nothing was compared, or nothing marked.
        is_refused: whether the portal does not show the list, and no row of it is here: there is nothing to prove.
        buckets: ranges of ids; none for a list without numeric ids.
    """

    entity: str
    checked_at: datetime
    portal_ids: int = 0
    warehouse_ids: int = 0
    missing: list[Key] = field(default_factory=list)
    extra: list[Key] = field(default_factory=list)
    marked: int = 0
    healed: int = 0
    requests: int = 0
    commands: int = 0
    operating_seconds: float = 0.0
    note: str = ""
    is_refused: bool = False
    buckets: list[Bucket] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same rows, now that what differed was mended."""
        return not self.note and not self.missing and not self.extra


def lists_of(pipeline: dlt.Pipeline) -> tuple[Entity, ...]:
    """Return every list that is read by itself, those of discovered types and catalogues included."""
    with pipeline.sql_client() as sql:
        return _lists_of(sql.native_connection)


def _lists_of(warehouse: duckdb.DuckDBPyConnection) -> tuple[Entity, ...]:
    found: list[Entity] = list(ENTITIES)
    for table in ("process_types", "catalogs"):
        if not _exists(warehouse, table):
            continue
        newest = f'(select max(_loaded_at) from "{DATASET}"."{table}")'  # noqa: S608
        columns = schema.TABLES[table]
        rows = warehouse.execute(
            f'select {", ".join(columns)} from "{DATASET}"."{table}" where _loaded_at = {newest}'  # noqa: S608
        ).fetchall()
        keys = [records.to_camel(column) for column in columns]
        entity = next(one for one in ENTITIES if one.table == table)
        found += discovered(entity, [Row(orjson.dumps(dict(zip(keys, row, strict=True)))) for row in rows])
    return tuple(found)


def compare(
    client: BitrixClient,
    pipeline: dlt.Pipeline,
    entities: Sequence[Entity],
    *,
    as_of: datetime,
    last_ids: Mapping[str, int],
    left_by_sync: Mapping[str, str] | None = None,
    progress: Progress = nothing,
) -> list[Check]:
    """Read the ids of some lists and name what differs; the warehouse is only read.

    What came to the portal after the last sync waits for the next one and is no difference.

    Args:
        last_ids: by list, the highest id that syncs have seen.
        left_by_sync: what `fingerprints` gave after the last sync, for the lists that are read whole.
    Raises:
        AccessError, PortalUnavailable, PortalError: as the client. A list that is refused gets a note.
    """
    with pipeline.sql_client() as sql:
        here = {entity.name: _held(sql.native_connection, entity) for entity in entities}
    checks = {entity.name: Check(entity.name, as_of) for entity in entities}
    there = {entity.name: _Listed() for entity in entities}
    walks: dict[int, tuple[Entity, Walk]] = {}
    for entity in entities:
        walk: Walk
        if entity.family is Family.DICTIONARY:
            walk = OffsetWalk(entity)
        else:
            highest = max([last_ids.get(entity.name, 0), *here[entity.name].ids[-1:].tolist()])
            left: list[Segment] = [(0, None)] if _is_whole(entity) else [(0, highest)]
            walk = KeysetWalk(entity.ids_only(), left=left, max_id=highest or None)
        walks[id(walk)] = (entity, walk)
    for brought in Reader(client).read([walk for _, walk in walks.values()]):
        for walk, rows in brought:
            entity, _ = walks[id(walk)]
            there[entity.name].add(entity, rows)
            progress(entity.name, there[entity.name].count, getattr(walk, "share", None))
    for entity, walk in walks.values():
        check, held = checks[entity.name], here[entity.name]
        check.note, check.warehouse_ids = walk.note, held.count
        check.is_refused = bool(walk.note) and not held.count
        _charge(check, walk)
        if not walk.note:
            _differ(check, entity, there[entity.name], held, last_ids, left_by_sync or {})
    _look_again(client, entities, checks, there)
    for entity in entities:
        if not (check := checks[entity.name]).note:
            check.portal_ids = there[entity.name].count
            check.buckets = _buckets(there[entity.name].ids, here[entity.name].ids)
    return list(checks.values())


def _differ(
    check: Check,
    entity: Entity,
    there: "_Listed",
    here: "_Listed",
    last_ids: Mapping[str, int],
    left_by_sync: Mapping[str, str],
) -> None:
    """Name what is on one side only, but for what is newer than the last sync."""
    there.sort()
    if not _is_whole(entity):
        is_due = (there.ids <= last_ids.get(entity.name, 0)) | np.isin(there.ids, here.ids)
        there.ids = there.ids[is_due]
    elif left_by_sync.get(entity.name) == here.fingerprint:
        there.ids, there.keys = there.ids[np.isin(there.ids, here.ids)], there.keys & here.keys
    check.missing = _keys(np.setdiff1d(there.ids, here.ids), there.keys - here.keys)
    check.extra = _keys(np.setdiff1d(here.ids, there.ids), here.keys - there.keys)
    if here.repeated:
        check.note = f"{here.repeated} rows stand here more than once; `b24 sync --full` leaves one of each"


def _look_again(
    client: BitrixClient, entities: Sequence[Entity], checks: Mapping[str, Check], there: Mapping[str, "_Listed"]
) -> None:
    """Ask for each row that seems to be gone by its id: one that comes was only hidden for a moment."""
    walks: dict[int, tuple[Entity, Walk]] = {}
    for entity in entities:
        if checks[entity.name].extra:
            again = _walk_of(entity.ids_only(), checks[entity.name].extra)
            walks[id(again)] = (entity, again)
    found = {entity.name: _Listed() for entity, _ in walks.values()}
    for brought in Reader(client).read([walk for _, walk in walks.values()]):
        for walk, rows in brought:
            entity, _ = walks[id(walk)]
            found[entity.name].add(entity, rows)
    for entity, walk in walks.values():
        check, seen = checks[entity.name], found[entity.name]
        check.note = check.note or walk.note
        _charge(check, walk)
        seen.sort()
        shown = set(check.extra).intersection(_keys(seen.ids, seen.keys))
        check.extra = [key for key in check.extra if key not in shown]
        there[entity.name].take(shown)


def mark_deleted(
    pipeline: dlt.Pipeline,
    checks: Sequence[Check],
    entities: Sequence[Entity],
    *,
    as_of: datetime,
    guard_share: float = GUARD_SHARE,
    forbidden: str = "",
) -> None:
    """Give a tombstone to the rows that are gone.

    Nothing of a list is marked when more than `guard_share` of it would go, or when `forbidden` says why nothing may:
    rights that were taken away look like deletions. The check's note then tells.
    """
    by_name = {entity.name: entity for entity in entities}
    with pipeline.sql_client() as sql:
        warehouse = sql.native_connection
        for check in checks:
            if not check.extra or check.note:
                continue
            allowed = max(GUARD_LEAST, guard_share * check.warehouse_ids)
            if forbidden:
                check.note = f"{len(check.extra)} rows are not shown any more, none was marked as deleted: {forbidden}"
            elif len(check.extra) > allowed:
                check.note = (
                    f"{len(check.extra)} of {check.warehouse_ids} rows are not shown any more, none was marked as "
                    "deleted: so many at once look like lost rights. If they were deleted, raise SWEEP_GUARD_SHARE "
                    "for one run."
                )
            else:
                check.marked = _set_deleted(warehouse, by_name[check.entity], check.extra, as_of)
                check.extra = []


def follow_owners(
    pipeline: dlt.Pipeline,
    checks: Sequence[Check],
    entities: Sequence[Entity],
    *,
    as_of: datetime,
    last_ids: Mapping[str, int],
) -> None:
    """Mark rows whose owner is gone, or was before it could be read; unmark those whose owner was shown again since.

    Only where the owners were found, or made, equal to the portal's.

    Args:
        last_ids: as in `compare`; owners above them wait for the next sync.
    """
    by_name = {entity.name: entity for entity in entities}
    with pipeline.sql_client() as sql:
        warehouse = sql.native_connection
        for check in checks:
            owners = by_name[check.entity]
            for table, column, values in _followers(owners):
                if check.is_equal and _exists(warehouse, table):
                    last_id = last_ids.get(owners.name, 0)
                    check.marked += _follow(warehouse, owners, table, column, values, as_of, last_id)


def _followers(owners: Entity) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Yield what vanishes with the rows of a list: table, column of the owner's id, values of those rows."""
    any_process = process_entities([{"entityTypeId": 0, "isStagesEnabled": "Y"}])
    for entity in (*ENTITIES, *any_process):
        if entity.deleted_by == "owner" and entity.owner_table == owners.table:
            yield entity.table, entity.owner_column, owners.constants
    yield from details_followers(owners.table, owners.constants)


def _follow(
    warehouse: duckdb.DuckDBPyConnection,
    owners: Entity,
    table: str,
    column: str,
    values: Mapping[str, str],
    as_of: datetime,
    last_id: int,
) -> int:
    """Returns how many rows were marked."""
    living = f'from "{DATASET}"."{owners.table}" where _deleted_at is null {_own(owners.constants)}'
    given = [*values.values(), *owners.constants.values()]
    warehouse.execute(
        f'update "{DATASET}"."{table}" as follower set _deleted_at = null '  # noqa: S608
        f"from (select id, _loaded_at {living}) as owner "
        f'where follower._deleted_at <= owner._loaded_at and follower."{column}" = owner.id {_own(values)}',
        [*owners.constants.values(), *values.values()],
    )
    changed = warehouse.execute(
        f'update "{DATASET}"."{table}" set _deleted_at = ? where _deleted_at is null '  # noqa: S608
        f'and try_cast("{column}" as bigint) <= ? {_own(values)} and "{column}" not in (select id {living})',
        [records.to_instant_text(as_of), last_id, *given],
    ).fetchone()
    return int(changed[0]) if changed else 0


def _set_deleted(warehouse: duckdb.DuckDBPyConnection, entity: Entity, keys: Sequence[Key], as_of: datetime) -> int:
    columns = _key_columns(entity)
    chosen = {column: pa.array([key[place] for key in keys], pa.string()) for place, column in enumerate(columns)}
    warehouse.register("chosen", pa.table(chosen))
    names = ", ".join(f'"{column}"' for column in columns)
    try:
        changed = warehouse.execute(
            f'update "{DATASET}"."{entity.table}" set _deleted_at = ? where _deleted_at is null '  # noqa: S608
            f"and ({names}) in (select ({names}) from chosen) {_own(entity.constants)}",
            [records.to_instant_text(as_of), *entity.constants.values()],
        ).fetchone()
        return int(changed[0]) if changed else 0
    finally:
        warehouse.unregister("chosen")


def heal(
    client: BitrixClient,
    pipeline: dlt.Pipeline,
    checks: Sequence[Check],
    entities: Sequence[Entity],
    *,
    as_of: datetime,
    today: date,
    writer: records.ColumnWriter,
    loading: Loading,
) -> None:
    """Read the rows that are missing here again, by their ids, and load them; a tombstone of theirs goes.

    Args:
        today: of `as_of`, in the reporting zone.
    """
    by_name = {entity.name: entity for entity in entities}
    walks: dict[int, tuple[Check, Walk]] = {}
    package = Package(pipeline, as_of, writer, loading)
    for check in checks:
        if check.missing and not check.note:
            again = _walk_of(by_name[check.entity], check.missing)
            walks[id(again)] = (check, again)
    if not walks:
        return
    brought_back = {check.entity: _Listed() for check, _ in walks.values()}
    for brought in Reader(client).read([walk for _, walk in walks.values()]):
        for walk, rows in brought:
            name = walks[id(walk)][0].entity
            package.add(by_name[name], rows, today)
            brought_back[name].add(by_name[name], rows)
        if package.size >= PACKAGE_ROWS:
            package.commit()
    package.commit()
    for check, walk in walks.values():
        _charge(check, walk)
        healed = brought_back[check.entity]
        healed.sort()
        check.healed = len(set(check.missing).intersection(_keys(healed.ids, healed.keys)))
        gone = len(check.missing) - check.healed
        # to be compared again before the list counts as equal
        check.note = walk.note or (f"{gone} rows went while they were read again" if gone else "")
        check.missing = []


def recount(pipeline: dlt.Pipeline, checks: Sequence[Check], entities: Sequence[Entity]) -> None:
    """Look into the warehouse again where something was mended: what is proven is what lies there now."""
    by_name = {entity.name: entity for entity in entities}
    with pipeline.sql_client() as sql:
        for check in checks:
            if not check.marked and not check.healed:
                continue
            here = _held(sql.native_connection, by_name[check.entity])
            check.warehouse_ids = here.count
            sides = _by_range(here.ids)
            known = {bucket.low // BUCKET_IDS: bucket for bucket in check.buckets}
            check.buckets = [
                _bucket(low, (known[low].portal_count, known[low].portal_hash) if low in known else NO_IDS, sides)
                for low in sorted({*known, *sides})
            ]


def fingerprints(pipeline: dlt.Pipeline) -> dict[str, str]:
    """Hashes of the keys that a sync left of each list that is read whole."""
    with pipeline.sql_client() as sql:
        warehouse = sql.native_connection
        return {
            entity.name: _held(warehouse, entity).fingerprint for entity in _lists_of(warehouse) if _is_whole(entity)
        }


@dataclass
class _Listed:
    """The rows of a list on one side: numbers where it has ids, keys where it has none, or ids that are no numbers."""

    ids: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    keys: set[Key] = field(default_factory=set)
    repeated: int = 0
    _pages: list[Ids] = field(default_factory=list)
    _paged: int = 0

    @property
    def count(self) -> int:
        return self.ids.size + len(self.keys) + self._paged

    @property
    def fingerprint(self) -> str:
        return records.md5(f"{_hash(self.ids)} {sorted(self.keys)}")

    def add(self, entity: Entity, rows: Sequence[Row]) -> None:
        """Take rows as the portal sent them."""
        if not rows:
            return
        if entity.family is Family.DICTIONARY:
            self.keys.update(_keys_there(entity, rows))
            return
        ids = read_page(b"[" + b",".join(rows) + b"]", entity.ids_only()).ids
        self._pages.append(np.asarray(ids, np.int64))
        self._paged += len(ids)

    def sort(self) -> None:
        """Bring the ids that were added into order, each once."""
        self.ids = np.unique(np.concatenate([self.ids, *self._pages]))
        self._pages, self._paged = [], 0

    def take(self, keys: set[Key]) -> None:
        """Add rows that were seen after all."""
        numbers = [int(key[0]) for key in keys if _is_number(key)]
        self._pages.append(np.asarray(numbers, np.int64))
        self.keys |= {key for key in keys if not _is_number(key)}
        self.sort()


def _is_number(key: Key) -> bool:
    return len(key) == 1 and key[0].isdecimal() and str(int(key[0])) == key[0]


def _keys(ids: Ids, keys: set[Key]) -> list[Key]:
    return [*((str(number),) for number in ids.tolist()), *sorted(keys)]


def _is_whole(entity: Entity) -> bool:
    """Whether each sync reads the list from its first row to its last."""
    return entity.family in (Family.DICTIONARY, Family.KEYED_DICTIONARY)


def _key_columns(entity: Entity) -> tuple[str, ...]:
    return schema.KEYS[entity.table] if entity.family is Family.DICTIONARY else ("id",)


def _walk_of(entity: Entity, keys: Sequence[Key]) -> Walk:
    """A walk that brings these rows, and the others too where all are marked with the run that read them."""
    if entity.family is Family.DICTIONARY:
        return OffsetWalk(entity)
    if entity.family is Family.KEYED_DICTIONARY:
        return KeysetWalk(entity)
    return KeysetWalk(entity, left=_segments([int(key[0]) for key in keys if _is_number(key)]))


def _held(warehouse: duckdb.DuckDBPyConnection, entity: Entity) -> _Listed:
    """The living rows of a list; of a list that is read whole, those that the last run brought."""
    if not _exists(warehouse, entity.table):
        return _Listed()
    columns = _key_columns(entity)
    where = _own(entity.constants)
    values = list(entity.constants.values())
    for column, skipped in entity.skip.items():
        where += f' and "{column}" not in ({", ".join("?" * len(skipped))})'
        values += skipped
    table = f'"{DATASET}"."{entity.table}"'
    if _is_whole(entity):
        where += f" and _loaded_at = (select max(_loaded_at) from {table} where true {where})"  # noqa: S608
        values *= 2
    names = ", ".join(f'"{column}"' for column in columns)
    sql = f"select {{}} from {table} where _deleted_at is null {where}"  # noqa: S608
    if entity.family is Family.DICTIONARY:
        rows = [tuple(map(str, row)) for row in warehouse.execute(sql.format(names), values).fetchall()]
        return _Listed(keys=set(rows), repeated=len(rows) - len(set(rows)))
    # an id that is no number, or not written like one, is no id of the portal
    is_odd = "coalesce(cast(try_cast(id as bigint) as varchar), '') <> id"
    odd = warehouse.execute(f"{sql.format('id')} and {is_odd}", values).fetchall()
    found = warehouse.execute(f"{sql.format('cast(id as bigint) as id')} and not ({is_odd})", values).fetchnumpy()
    ids = np.unique(np.asarray(found["id"], np.int64))
    return _Listed(ids, {(str(row[0]),) for row in odd}, repeated=len(found["id"]) - len(ids))


def _keys_there(entity: Entity, rows: Sequence[Row]) -> list[Key]:
    """The keys of a dictionary's rows."""
    found = []
    for row in rows:
        values = {records.to_column_name(key): value for key, value in orjson.loads(bytes(row)).items()}
        values |= entity.constants
        if any(values.get(column) in skipped for column, skipped in entity.skip.items()):
            continue
        key = tuple(str(values.get(column)) for column in schema.KEYS[entity.table])
        if "None" in key:
            raise PortalError(f"{entity.method} answered with a row without its key.")
        found.append(key)
    return found


def _own(constants: Mapping[str, str]) -> str:
    return "".join(f' and "{column}" = ?' for column in constants)


def _exists(warehouse: duckdb.DuckDBPyConnection, table: str) -> bool:
    found = warehouse.execute(
        "select count(*) from information_schema.tables where table_schema = ? and table_name = ?", [DATASET, table]
    ).fetchone()
    return bool(found and found[0])


def _segments(ids: Sequence[int]) -> list[Segment]:
    """Segments with these ids in them; as many neighbours together as a page surely holds."""
    segments: list[Segment] = []
    for number in sorted(ids):
        if segments and number - segments[-1][0] <= PAGE_SIZE:
            segments[-1] = (segments[-1][0], number)
        else:
            segments.append((number - 1, number))
    return segments


def _buckets(portal: Ids, warehouse: Ids) -> list[Bucket]:
    """Both sides by ranges of ids, so that a difference can be found and a proof be repeated."""
    there, here = _by_range(portal), _by_range(warehouse)
    return [_bucket(low, there.get(low, NO_IDS), here) for low in sorted({*there, *here})]


def _bucket(number: int, portal: tuple[int, str], warehouse: Mapping[int, tuple[int, str]]) -> Bucket:
    return Bucket(number * BUCKET_IDS, (number + 1) * BUCKET_IDS, *portal, *warehouse.get(number, NO_IDS))


def _by_range(ids: Ids) -> dict[int, tuple[int, str]]:
    ranges = ids // BUCKET_IDS
    starts = np.flatnonzero(np.diff(ranges, prepend=-1))
    parts = np.split(ids, starts)[1:]
    return {int(ranges[start]): (len(part), _hash(part)) for start, part in zip(starts, parts, strict=True)}


def _hash(ids: Ids) -> str:
    return records.md5(",".join(map(str, ids.tolist())))


NO_IDS = (0, records.md5(""))


def _charge(check: Check, walk: Walk) -> None:
    check.requests += walk.usage.requests
    check.commands += walk.usage.commands
    check.operating_seconds += walk.usage.operating_s
