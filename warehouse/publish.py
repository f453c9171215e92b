"""Publishing the finished marts to PostgreSQL: staged aside, then the difference in one transaction."""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import psycopg
from psycopg import sql

from warehouse import rights
from warehouse.duckdb_file import open_warehouse
from warehouse.errors import PortalMismatch, PostgresError, PublishError
from warehouse.postgres import CONNECT_TIMEOUT_S, MARTS, PublishTarget, explain, take_turn
from warehouse.rights import TableRights

# Staging tables and the list of what we published; BI roles see nothing of it.
STAGING = "marts_publish"
INFO_TABLE = "publish_info"
_INFO_COLUMNS = {
    "run_id": "text primary key",
    "as_of": "timestamptz not null",
    "published_at": "timestamptz not null",
    "portal_host": "text",
}
BATCH_ROWS = 65_536
# A statement waiting for an exclusive lock blocks every later reader of the table: wait little, and try again.
LOCK_WAIT_S = 2.0
LOCK_TRIES = 10
LOCK_PAUSE_S = 1.0
A_FEW = 10  # rows that a table may lose whatever their share: dictionaries are small
VACUUM_SHARE = 0.1  # of a table's rows changed
INDEXED_ROWS = 100_000  # a smaller table is read whole in the time that a dashboard takes to notice

log = logging.getLogger(__name__)

# (step, table, number of the table, of how many); steps: check, stage, apply, clean
PublishProgress = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class TableSpec:
    """One table to publish.

    Attributes:
        name: of the table in schema `marts`.
        relation: `schema.table` in the warehouse.
        primary_key: its columns.
        description: comment of the table.
        columns: comment of each column that has one.
        contract: whether the product fixes its columns; else they follow the portal's custom fields.
        shared: whether users who see some departments only read all of it.
        leaks: columns that those users do not get, since they tell about other managers.
        time: the column that dashboards filter by period.
        grows: whether rows stay published though a new warehouse file lacks them: no portal gives them again.
        may_shrink: whether losing rows is its everyday life, so that the guard does not look at it.
    """

    name: str
    relation: str
    primary_key: tuple[str, ...]
    description: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    contract: bool = True
    shared: bool = False
    leaks: frozenset[str] = frozenset()
    time: str | None = None
    grows: bool = False
    may_shrink: bool = False


@dataclass(frozen=True)
class PublishInfo:
    """The row of `publish_info`: which run readers see. `as_of` carries its zone."""

    run_id: str
    as_of: datetime
    portal_host: str | None = None
    former_hosts: tuple[str, ...] = ()  # names that the portal had before


@dataclass(frozen=True)
class PublishedTable:
    """One published table: its rows now, and how many were inserted, updated and deleted to get there."""

    name: str
    rows: int
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class _Existing:
    """A published table as PostgreSQL has it: column -> type, the primary key, and how many rows of which content."""

    columns: Mapping[str, str]
    primary_key: tuple[str, ...]
    rows: int
    content: str | None


@dataclass(frozen=True)
class _Plan:
    """A table with its columns (name -> PostgreSQL type, in the warehouse's order) and what it becomes."""

    spec: TableSpec
    columns: Mapping[str, str]
    relation: duckdb.DuckDBPyRelation
    rows: int
    content: str  # of all rows together, in any order
    existing: _Existing | None

    @property
    def added(self) -> list[str]:
        """Columns to add: new, or of a new type."""
        old = self.existing.columns if self.existing else {}
        return [name for name, kind in self.columns.items() if old.get(name) != kind]

    @property
    def dropped(self) -> list[str]:
        """Columns to drop: gone, or of a new type."""
        old = self.existing.columns if self.existing else {}
        return [name for name, kind in old.items() if self.columns.get(name) != kind]

    @property
    def rekeyed(self) -> bool:
        """Whether old and new rows cannot be matched by the primary key."""
        if self.existing is None:
            return False
        return self.existing.primary_key != self.spec.primary_key or bool(set(self.added) & set(self.spec.primary_key))

    @property
    def altered(self) -> bool:
        """Whether the table must be locked against readers for a moment."""
        return self.existing is not None and bool(self.added or self.dropped or self.rekeyed)

    @property
    def changed(self) -> bool:
        """Whether any row may differ from what is published."""
        if self.altered or self.existing is None or self.existing.content != self.content:
            return True
        return self.before < self.rows or (self.before > self.rows and not self.keeps)

    @property
    def before(self) -> int:
        """Rows published so far."""
        return self.existing.rows if self.existing else 0

    @property
    def keeps(self) -> bool:
        """Whether published rows that the warehouse does not have stay."""
        return self.spec.grows and not self.rekeyed

    @property
    def rights(self) -> TableRights:
        """The table as the rights see it."""
        spec = self.spec
        return TableRights(spec.name, self.columns, spec.primary_key, spec.shared, spec.leaks)

    @property
    def first(self) -> str:
        """The column in whose order the rows are laid."""
        time = self.spec.time
        return time if time and time in self.columns else self.spec.primary_key[0]

    @property
    def indexed(self) -> list[str]:
        """Columns that get an index: of a million rows it brought a month from 128 to 32 ms, a manager from 131 to 25.

        Those of pipelines and channels, with few values each, won nothing.
        """
        wanted = {self.first, "manager_key"} & self.columns.keys() if self.rows >= INDEXED_ROWS else set()
        return sorted(wanted - {self.spec.primary_key[0]})  # the key's own index begins with that one


def publish(
    warehouse_path: Path,
    target: PublishTarget,
    tables: Sequence[TableSpec],
    info: PublishInfo,
    *,
    shrink_guard: float = 0.2,
    allow_shrink: bool = False,
    progress: PublishProgress | None = None,
) -> list[PublishedTable]:
    """Make the warehouse's tables the content of schema `marts`, all at once for every reader.

    Tables whose content is that of the last publish cost a hash of their rows. The others are staged in unlogged
    tables (ADBC's binary COPY); then one transaction deletes, updates and inserts the rows that differ in all tables,
    so that a reader sees one run or the next, never both, and analysts' views and primary keys stay. A publish that
    dies leaves the last state; the next one clears what it left behind.

    Args:
        warehouse_path: the DuckDB file; open for reading while rows are staged.
        target: the server.
        tables: everything that schema `marts` shall hold; a table published before and not named now is dropped.
        info: what readers find in `publish_info`.
        shrink_guard: largest share of its rows that a table may lose.
        allow_shrink: publish even then.
        progress: told before each step of each table.
    Returns:
        one entry per table, in the order given; unchanged tables with three zeros.
    Raises:
        PublishError: nothing was published; the message names the table and the next step.
        PortalMismatch: the server holds another portal's marts.
        WarehouseBusy, WarehouseError: the warehouse cannot be read.
    """
    tell = progress or (lambda step, table, number, of: None)
    try:
        for note in target.prepare():
            log.warning(note)
        with _session(target) as con:
            _clear_staging(con)
            _check_portal(con, target, info)
            with open_warehouse(warehouse_path, read_only=True) as duck:
                plans, published = [], _published(con)
                for number, spec in enumerate(tables, start=1):
                    tell("check", spec.name, number, len(tables))
                    plans.append(_plan(con, duck, spec, published))
                gone = _gone(con, plans)
                _check_views(con, plans, gone)
                if not allow_shrink:
                    _check_shrink(plans, shrink_guard)
                _stage(con, target, [plan for plan in plans if plan.changed], tell)
            rights.ensure(con)
            _divide(con, plans)
            changes = _apply(con, plans, gone, info, tell)
            _tidy(con, plans, changes, tell)
    except PostgresError as error:
        raise PublishError(str(error)) from None
    except (psycopg.Error, adbc.Error) as error:
        # neither chained nor quoted whole: a driver's text may show its connection string
        raise PublishError(f"Nothing was published. {explain(error, target.address)}") from None
    return [changes[spec.name] for spec in tables]


@contextlib.contextmanager
def _session(target: PublishTarget) -> Iterator[psycopg.Connection[Any]]:
    """A session in autocommit mode that no other publisher shares the server with."""
    with psycopg.connect(
        target.publisher_url(), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="b24 publish"
    ) as con:
        # a statement whose client was killed ends within a second, and its locks with it
        con.execute("set client_connection_check_interval = '1s'")
        con.execute("set timezone = 'UTC'")
        take_turn(con, target.address)
        try:
            yield con
        except Exception:
            with contextlib.suppress(psycopg.Error):
                _clear_staging(con)  # the disk may just have run full
            raise


def _clear_staging(con: psycopg.Connection[Any]) -> None:
    """Make the staging schema, without the tables that a killed publish left there."""
    if _scalar(con, "select to_regnamespace(%s)", [STAGING]) is None:
        con.execute(sql.SQL("create schema {}").format(sql.Identifier(STAGING)))
    tables = _staging("tables")
    con.execute(sql.SQL("create table if not exists {} (name text primary key, content text)").format(tables))
    con.execute(sql.SQL("alter table {} add column if not exists content text").format(tables))  # of earlier versions
    for (name,) in con.execute(
        "select tablename from pg_tables where schemaname = %s and tablename <> 'tables'", [STAGING]
    ).fetchall():
        con.execute(sql.SQL("drop table {}").format(_staging(name)))


def _check_portal(con: psycopg.Connection[Any], target: PublishTarget, info: PublishInfo) -> None:
    """A demo must not overwrite a company's marts."""
    if info.portal_host is None or INFO_TABLE not in _published(con):
        return
    other = _scalar(con, sql.SQL("select portal_host from {}").format(_mart(INFO_TABLE)))
    if other not in (None, info.portal_host, *info.former_hosts):
        raise PortalMismatch(
            f"The marts at {target.address} are those of {other}, but this warehouse belongs to {info.portal_host}. "
            "Set MARTS_POSTGRES_URL to a database of its own for each portal. Nothing was published."
        )


def _plan(
    con: psycopg.Connection[Any],
    duck: duckdb.DuckDBPyConnection,
    spec: TableSpec,
    published: Mapping[str, str | None],
) -> _Plan:
    """Look at one table on both sides; its rows are counted and its keys checked in the warehouse."""
    if spec.name == INFO_TABLE:
        raise PublishError(f"The name {INFO_TABLE} is taken by the table that tells which run is published.")
    schema, _, table = spec.relation.partition(".")
    try:
        source = duck.table(f"{_quoted(schema)}.{_quoted(table)}")
    except duckdb.CatalogException:
        raise PublishError(
            f"The warehouse has no {spec.relation}. Run `b24 sync` to build it. Nothing was published."
        ) from None
    columns = {
        name: _postgres_type(spec, name, str(kind)) for name, kind in zip(source.columns, source.types, strict=True)
    }
    relation = source.project(", ".join(_projected(name, kind) for name, kind in columns.items()))
    _check_keys(spec, columns, relation)
    hashed = f"hash({', '.join(map(_quoted, columns))})"
    try:
        rows, *hashes = relation.aggregate(f"count(*), bit_xor({hashed}), sum({hashed})").fetchall()[0]
    except duckdb.ConversionException:
        raise PublishError(
            f"A whole number in {spec.relation} does not fit PostgreSQL's bigint: cast it to a decimal in the model. "
            "Nothing was published."
        ) from None
    existing = _existing(con, spec.name, published.get(spec.name))
    if existing is not None and spec.name not in published:
        raise PublishError(
            f"Schema marts already has a {spec.name} that this pipeline did not publish. "
            "Rename it, or set MARTS_POSTGRES_URL to another database. Nothing was published."
        )
    return _Plan(spec, columns, relation, rows, "/".join(map(str, hashes)), existing)


_TYPES = {
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "double precision",
    "FLOAT": "double precision",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "VARCHAR": "text",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "bigint"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "bigint"),
}


def _postgres_type(spec: TableSpec, column: str, kind: str) -> str:
    """PostgreSQL's own spelling of the type that a DuckDB column is published as."""
    if decimal := re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", kind):
        return f"numeric({decimal[1]},{decimal[2]})"
    try:
        return _TYPES[kind]
    except KeyError:
        raise PublishError(
            f"{spec.relation}.{column} has the type {kind}, which BI tools cannot read: cast it in the model to date, "
            "timestamptz, bigint, decimal, double, boolean or text. Nothing was published."
        ) from None


def _projected(column: str, kind: str) -> str:
    name = _quoted(column)
    if kind == "text":
        return f"replace({name}, chr(0), '') as {name}"  # PostgreSQL's text cannot hold NUL
    return f"cast({name} as {kind}) as {name}" if kind in ("bigint", "double precision") else name


def _check_keys(spec: TableSpec, columns: Mapping[str, str], relation: duckdb.DuckDBPyRelation) -> None:
    if not spec.primary_key or not set(spec.primary_key) <= columns.keys():
        raise PublishError(
            f"{spec.relation} lacks its primary key ({', '.join(spec.primary_key)}). Nothing was published."
        )
    keys = [_quoted(name) for name in spec.primary_key]
    listed = ", ".join(keys)
    empty = relation.filter(" or ".join(f"{key} is null" for key in keys)).limit(1).fetchone()
    repeated = relation.aggregate(f"{listed}, count(*) as __rows", listed).filter("__rows > 1").limit(1).fetchone()
    if empty or repeated:
        shown = f"is repeated: {repeated[:-1]}" if repeated else "is empty in a row"
        raise PublishError(
            f"The primary key ({', '.join(spec.primary_key)}) of {spec.relation} {shown}. Nothing was published."
        )


def _existing(con: psycopg.Connection[Any], name: str, content: str | None = None) -> _Existing | None:
    columns = con.execute(
        """
        select a.attname, format_type(a.atttypid, a.atttypmod)
        from pg_attribute as a
        where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
        order by a.attnum
        """,
        [_regclass(name)],
    ).fetchall()
    if not columns:
        return None
    key = con.execute(
        """
        select a.attname
        from pg_constraint as c
        cross join unnest(c.conkey) with ordinality as k (attnum, place)
        join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
        where c.conrelid = to_regclass(%s) and c.contype = 'p'
        order by k.place
        """,
        [_regclass(name)],
    ).fetchall()
    rows = _scalar(con, sql.SQL("select count(*) from {}").format(_mart(name)))
    return _Existing(dict(columns), tuple(row[0] for row in key), rows, content)


def _published(con: psycopg.Connection[Any]) -> dict[str, str | None]:
    """What we published: table -> its content at that time."""
    return dict(con.execute(sql.SQL("select name, content from {}").format(_staging("tables"))).fetchall())


def _gone(con: psycopg.Connection[Any], plans: Sequence[_Plan]) -> list[str]:
    """Tables published before that are not to be published any more, and still exist."""
    names = _published(con).keys() - {plan.spec.name for plan in plans} - {INFO_TABLE}
    return sorted(name for name in names if _existing(con, name) is not None)


def _check_views(con: psycopg.Connection[Any], plans: Sequence[_Plan], gone: Sequence[str]) -> None:
    """Stop before a change that would break an analyst's view; everything that would break is named."""
    broken = []
    for plan in plans:
        for column in plan.dropped:
            if views := _views_on(con, plan.spec.name, column):
                what = f"becomes {plan.columns[column]}" if column in plan.columns else "is gone"
                why = "" if plan.spec.contract else " (it follows a custom field of the portal)"
                broken.append(f"marts.{plan.spec.name}: column {column} {what}{why}; used by {', '.join(views)}")
    broken += [
        f"marts.{name}: the table is gone; used by {', '.join(views)}"
        for name in gone
        if (views := _views_on(con, name, None))
    ]
    if broken:
        listed = "\n".join(f"- {line}" for line in broken)
        raise PublishError(
            f"Nothing was published, because these views would break:\n{listed}\n"
            "Change or drop them, then run `b24 publish`."
        )


def _views_on(con: psycopg.Connection[Any], table: str, column: str | None) -> list[str]:
    """Views that use a column, or the table at all."""
    return [
        row[0]
        for row in con.execute(
            """
            select distinct v.oid::regclass::text
            from pg_depend as d
            join pg_rewrite as r on r.oid = d.objid
            join pg_class as v on v.oid = r.ev_class and v.oid <> d.refobjid
            left join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            where
                d.classid = 'pg_rewrite'::regclass
                and d.refclassid = 'pg_class'::regclass
                and d.refobjid = to_regclass(%(table)s)
                and (%(column)s::text is null or a.attname = %(column)s)
            order by 1
            """,
            {"table": _regclass(table), "column": column},
        ).fetchall()
    ]


def _check_shrink(plans: Sequence[_Plan], guard: float) -> None:
    """Far fewer rows than last time look like a broken load or narrowed rights, not like business."""
    shrunk = [
        f"- marts.{plan.spec.name}: {plan.existing.rows} rows are published, the new state has {plan.rows}"
        for plan in plans
        if plan.existing is not None and not plan.keeps and not plan.spec.may_shrink
        if plan.rows < min(plan.existing.rows * (1 - guard), plan.existing.rows - A_FEW)
    ]
    if shrunk:
        listed = "\n".join(shrunk)
        raise PublishError(
            f"Nothing was published, because tables would lose more than {guard:.0%} of their rows:\n{listed}\n"
            "If the rows are truly gone from the portal, run `b24 publish --allow-shrink`; "
            "else check the rights of the webhook's user and the last load."
        )


def _stage(con: psycopg.Connection[Any], target: PublishTarget, plans: Sequence[_Plan], tell: PublishProgress) -> None:
    with adbc.connect(target.publisher_url(), autocommit=True) as bulk, bulk.cursor() as cursor:
        for number, plan in enumerate(plans, start=1):
            tell("stage", plan.spec.name, number, len(plans))
            con.execute(
                sql.SQL("create unlogged table {} ({})").format(_staging(plan.spec.name), _declared(plan.columns))
            )
            reader = plan.relation.to_arrow_reader(BATCH_ROWS)
            cursor.adbc_ingest(plan.spec.name, reader, mode="append", db_schema_name=STAGING)
            con.execute(sql.SQL("analyze {}").format(_staging(plan.spec.name)))


def _divide(con: psycopg.Connection[Any], plans: Sequence[_Plan]) -> None:
    """Bring tables that an earlier version published under the rights, one at a time: each is locked for a moment."""
    for plan in plans:
        if plan.existing is not None and not plan.altered and rights.needs_lock(con, plan.rights):
            with con.transaction():
                con.execute(sql.SQL("set local lock_timeout = {}").format(_milliseconds(LOCK_WAIT_S)))
                _lock_alone(con, plan.spec.name)
                rights.protect(con, plan.rights)


def _apply(
    con: psycopg.Connection[Any], plans: Sequence[_Plan], gone: Sequence[str], info: PublishInfo, tell: PublishProgress
) -> dict[str, PublishedTable]:
    """The one transaction. What needs a table for itself alone comes last, so that readers wait for a moment only."""
    changes = {}
    with con.transaction():
        con.execute(sql.SQL("set local lock_timeout = {}").format(_milliseconds(LOCK_WAIT_S)))
        con.execute("set local work_mem = '128MB'")
        for number, plan in enumerate(sorted(plans, key=lambda plan: plan.altered), start=1):
            name, described = plan.spec.name, plan.spec.columns
            tell("apply", name, number, len(plans))
            changes[name] = _apply_table(con, plan) if plan.changed else PublishedTable(name, plan.before, 0, 0, 0)
            rights.protect(con, plan.rights)
            _comment(con, name, plan.spec.description, {column: described.get(column, "") for column in plan.columns})
        for name in gone:
            _lock_alone(con, name)
            con.execute(sql.SQL("drop table {}").format(_mart(name)))
            con.execute(sql.SQL("delete from {} where name = %s").format(_staging("tables")), [name])
        _write_info(con, info)
    return changes


def _apply_table(con: psycopg.Connection[Any], plan: _Plan) -> PublishedTable:
    name, key = plan.spec.name, plan.spec.primary_key
    names = {"mart": _mart(name), "staged": _staging(name), "columns": _listed(plan.columns), "key": _listed(key)}
    if plan.existing is None:
        con.execute(sql.SQL("create table {} ({})").format(_mart(name), _declared(plan.columns)))
    elif plan.altered:
        _lock_alone(con, name)
        _alter(con, plan)
    deleted = updated = 0
    if plan.rekeyed:
        deleted = con.execute(sql.SQL("delete from {mart}").format(**names)).rowcount
    elif plan.existing is not None:
        matched = sql.SQL(" and ").join(sql.SQL("m.{0} = s.{0}").format(sql.Identifier(column)) for column in key)
        if not plan.keeps:
            unmatched = sql.SQL("where not exists (select from {staged} as s where {matched})")
            deleted = con.execute(
                sql.SQL("delete from {mart} as m {unmatched}").format(
                    **names, unmatched=unmatched.format(**names, matched=matched)
                )
            ).rowcount
        updated = _update(con, plan, names, matched)
    if plan.existing is None or plan.rekeyed:
        inserted = con.execute(
            # rows of one period side by side: a month of a million rows was read in 11 ms instead of 32
            sql.SQL("insert into {mart} ({columns}) select {columns} from {staged} order by {first}").format(
                **names, first=sql.Identifier(plan.first)
            )
        ).rowcount
        con.execute(sql.SQL("alter table {mart} add primary key ({key})").format(**names))
    else:
        inserted = con.execute(
            sql.SQL(
                "insert into {mart} ({columns}) select {columns} from {staged} as s "
                "where not exists (select from {mart} as m where {matched})"
            ).format(**names, matched=matched)
        ).rowcount
    _register(con, name, plan.content)
    return PublishedTable(name, plan.before + inserted - deleted, inserted, updated, deleted)


def _update(
    con: psycopg.Connection[Any], plan: _Plan, names: Mapping[str, sql.Composable], matched: sql.Composable
) -> int:
    values = [sql.Identifier(column) for column in plan.columns if column not in plan.spec.primary_key]
    if not values:
        return 0
    return con.execute(
        sql.SQL("update {mart} as m set {assigned} from {staged} as s where {matched} and ({differs})").format(
            **names,
            matched=matched,
            assigned=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(value) for value in values),
            differs=sql.SQL(" or ").join(sql.SQL("m.{0} is distinct from s.{0}").format(value) for value in values),
        )
    ).rowcount


def _alter(con: psycopg.Connection[Any], plan: _Plan) -> None:
    """Drop and add columns in place: unlike a rewrite or a new table this keeps views, grants and old snapshots.

    A retyped column is dropped and added; the difference then fills it.
    """
    mart = _mart(plan.spec.name)
    if plan.rekeyed:
        constraint = _scalar(
            con,
            "select conname from pg_constraint where conrelid = to_regclass(%s) and contype = 'p'",
            [_regclass(plan.spec.name)],
        )
        if constraint:
            con.execute(sql.SQL("alter table {} drop constraint {}").format(mart, sql.Identifier(constraint)))
    rights.release(con, plan.spec.name, plan.dropped)
    for column in plan.dropped:
        con.execute(sql.SQL("alter table {} drop column {}").format(mart, sql.Identifier(column)))
    for column in plan.added:
        con.execute(sql.SQL("alter table {} add column {}").format(mart, _declared({column: plan.columns[column]})))
    if plan.rekeyed:  # a column that leaves the key must be free to be empty again
        for column in set(plan.existing.primary_key if plan.existing else ()) - set(plan.dropped):
            con.execute(sql.SQL("alter table {} alter column {} drop not null").format(mart, sql.Identifier(column)))


def _lock_alone(con: psycopg.Connection[Any], name: str) -> None:
    """Take a table for ourselves until the commit; readers that come meanwhile are let through between the tries."""
    for _ in range(LOCK_TRIES):
        try:
            with con.transaction():
                con.execute(sql.SQL("lock table {} in access exclusive mode").format(_mart(name)))
        except psycopg.errors.LockNotAvailable:
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    sessions = con.execute(
        "select a.usename, a.pid from pg_locks as l join pg_stat_activity as a on a.pid = l.pid "
        "where l.relation = to_regclass(%s) and l.granted and l.pid <> pg_backend_pid() order by a.pid",
        [_regclass(name)],
    ).fetchall()
    named = ", ".join(f"{user} (process {pid})" for user, pid in dict.fromkeys(sessions)) or "another session"
    raise PublishError(
        f"Nothing was published: marts.{name} gets other columns or rights, and {named} keeps the table in an open "
        "transaction. End that session, then run `b24 publish`."
    )


def _comment(con: psycopg.Connection[Any], name: str, description: str, columns: Mapping[str, str]) -> None:
    """Write the comments that differ."""
    present = dict(
        con.execute(
            """
            select coalesce(a.attname, ''), d.description
            from pg_description as d
            left join pg_attribute as a on a.attrelid = d.objoid and a.attnum = d.objsubid and d.objsubid > 0
            where d.classoid = 'pg_class'::regclass and d.objoid = to_regclass(%s)
            """,
            [_regclass(name)],
        ).fetchall()
    )
    if present.get("", "") != description:
        con.execute(sql.SQL("comment on table {} is {}").format(_mart(name), description))
    for column, text in columns.items():
        if present.get(column, "") != text:
            con.execute(sql.SQL("comment on column {}.{} is {}").format(_mart(name), sql.Identifier(column), text))


def _write_info(con: psycopg.Connection[Any], info: PublishInfo) -> None:
    if _existing(con, INFO_TABLE) is None:
        con.execute(sql.SQL("create table {} ({})").format(_mart(INFO_TABLE), _declared(_INFO_COLUMNS)))
        _register(con, INFO_TABLE, None)
    rights.protect(con, TableRights(INFO_TABLE, _INFO_COLUMNS, ("run_id",), shared=True))
    _comment(
        con,
        INFO_TABLE,
        "Публикация: какой запуск видят отчёты. Ровно одна строка.",
        {
            "run_id": "Запуск",
            "as_of": "Состояние портала на момент",
            "published_at": "Опубликовано",
            "portal_host": "Портал",
        },
    )
    con.execute(sql.SQL("delete from {}").format(_mart(INFO_TABLE)))
    con.execute(
        sql.SQL("insert into {} values (%s, %s, clock_timestamp(), %s)").format(_mart(INFO_TABLE)),
        [info.run_id, info.as_of, info.portal_host],
    )


def _register(con: psycopg.Connection[Any], name: str, content: str | None) -> None:
    con.execute(
        sql.SQL(
            "insert into {} (name, content) values (%s, %s) on conflict (name) do update set content = excluded.content"
        ).format(_staging("tables")),
        [name, content],
    )


def _tidy(
    con: psycopg.Connection[Any],
    plans: Sequence[_Plan],
    changes: Mapping[str, PublishedTable],
    tell: PublishProgress,
) -> None:
    """Drop staging tables, index large tables, vacuum what changed much; all is published, so a failure only waits."""
    try:
        for number, plan in enumerate(plans, start=1):
            name, change = plan.spec.name, changes[plan.spec.name]
            tell("clean", name, number, len(changes))
            con.execute(sql.SQL("drop table if exists {}").format(_staging(name)))
            for column in plan.indexed:
                con.execute(
                    sql.SQL("create index if not exists {} on {} ({})").format(
                        sql.Identifier(f"{name}_{column}_idx"), _mart(name), sql.Identifier(column)
                    )
                )
            if change.inserted + change.updated + change.deleted > VACUUM_SHARE * change.rows:
                con.execute(sql.SQL("vacuum (analyze) {}").format(_mart(name)))
    except psycopg.Error as error:
        log.warning("Published, but not tidied up; the next publish does it: %s", type(error).__name__)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def _declared(columns: Mapping[str, str]) -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))  # the kinds are ours, see _TYPES
        for name, kind in columns.items()
    )


def _listed(columns: Sequence[str] | Mapping[str, str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _mart(name: str) -> sql.Identifier:
    return sql.Identifier(MARTS, name)


def _staging(name: str) -> sql.Identifier:
    return sql.Identifier(STAGING, name)


def _regclass(name: str) -> str:
    return f"{_quoted(MARTS)}.{_quoted(name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _scalar(con: psycopg.Connection[Any], query: Any, parameters: Sequence[Any] = ()) -> Any:
    row = con.execute(query, parameters).fetchone()
    return row[0] if row else None
