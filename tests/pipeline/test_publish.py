"""Publishing to a real PostgreSQL server: what readers see, when, and what they never see."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pipeline.small_server import AS_OF, admin_url, execute, fill, reachable_folder, read, running_server
from pipeline.small_server import run as publish_small

from warehouse import postgres
from warehouse import publish as publishing
from warehouse.errors import PortalMismatch, PostgresError, PublishError
from warehouse.postgres import EmbeddedPostgres, ExternalPostgres, explain
from warehouse.publish import PublishedTable, PublishInfo, TableSpec, publish

DEALS = TableSpec(
    "fct_deals",
    "core.fct_deals",
    ("deal_id",),
    "Сделки: строка на сделку.",
    {"deal_id": "Сделка", "title": "Название", "amount_rc": "Сумма"},
)
ROI = TableSpec("channel_roi", "marts.channel_roi", ("channel_key", "period_month"), "Окупаемость каналов.")
BOTH = [DEALS, ROI]
STAGING_TABLES = "select tablename from pg_tables where schemaname = 'marts_publish'"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_server(folder) as server:
        yield server


@pytest.fixture
def server(running: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server without anything published."""
    with psycopg.connect(running.publisher_url(), autocommit=True) as con:
        con.execute("drop schema if exists marts, marts_publish, analyst cascade")
    running.start()
    return running


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "crm.duckdb"
    fill(
        path,
        """
        create schema core;
        create schema marts;
        create table core.fct_deals as
            select i as deal_id, 'Сделка ' || i as title, cast(i * 10 as decimal(18, 2)) as amount_rc
            from range(1, 101) as r (i);
        create table marts.channel_roi as
            select 'c' || i as channel_key, date '2026-06-01' as period_month, i as leads from range(10) as r (i)
        """,
    )
    return path


def run(warehouse: Path, server: Any, tables: Sequence[TableSpec] = BOTH, run_id: str = "r1", **options: Any) -> Any:
    return publish_small(warehouse, server, tables, run_id, **options)


def published_run(server: EmbeddedPostgres) -> str:
    [(run_id,)] = read(server, "select run_id from marts.publish_info")
    return str(run_id)


# contents


def test_first_publish_brings_rows_types_keys_and_comments(server: EmbeddedPostgres, warehouse: Path) -> None:
    """BI tools rely on each of them."""
    assert run(warehouse, server) == [
        PublishedTable("fct_deals", 100, inserted=100, updated=0, deleted=0),
        PublishedTable("channel_roi", 10, inserted=10, updated=0, deleted=0),
    ]
    assert read(server, "select sum(amount_rc), count(*) from marts.fct_deals") == [(Decimal("50500.00"), 100)]
    assert read(
        server,
        "select a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum) "
        "from pg_attribute as a where a.attrelid = 'marts.fct_deals'::regclass and a.attnum > 0 order by a.attnum",
    ) == [("deal_id", "bigint", "Сделка"), ("title", "text", "Название"), ("amount_rc", "numeric(18,2)", "Сумма")]
    assert read(server, "select obj_description('marts.fct_deals'::regclass)") == [("Сделки: строка на сделку.",)]
    assert read(
        server,
        "select pg_get_constraintdef(oid) from pg_constraint where contype = 'p' "
        "and conrelid = 'marts.channel_roi'::regclass",
    ) == [("PRIMARY KEY (channel_key, period_month)",)]
    assert read(
        server, "select run_id, as_of, portal_host, published_at > now() - interval '1 minute' from marts.publish_info"
    ) == [("r1", AS_OF, "north.bitrix24.ru", True)]
    assert read(server, "select count(*) from pg_tables where schemaname = 'marts'") == [(3,)]


def test_values_arrive_as_they_are(server: EmbeddedPostgres, warehouse: Path) -> None:
    """NUL is the one character that PostgreSQL's text cannot hold; empty text is not NULL; decimals keep each digit."""
    fill(
        warehouse,
        """
        create table marts.zoo as select * from (values
            (1, 'a' || chr(0) || 'b', 12345678901234567890123456.0123456789::decimal(38, 10), true,
                date '2026-02-28', timestamptz '2026-06-15 23:30:00+03', 0.1::double, 170141183460469::hugeint),
            (2, '', -0.0000000001::decimal(38, 10), false, date '0001-01-01', timestamptz '1999-12-31 21:00:00+00',
                'infinity'::double, -1::hugeint),
            (3, 'Ёж 🦔 "кавычки" \\ \t\n''', null, null, null, null, null, null),
            (4, null, 0, null, date '9999-12-31', null, -1e300, 0)
        ) as v (id, label, wide, flag, day, moment, ratio, total)
        """,
    )
    run(warehouse, server, [TableSpec("zoo", "marts.zoo", ("id",))])
    moscow_evening = datetime(2026, 6, 15, 20, 30, tzinfo=UTC)
    assert read(server, "select id, label, wide, flag, day, moment, ratio, total from marts.zoo order by id") == [
        (1, "ab", Decimal("12345678901234567890123456.0123456789"), True, date(2026, 2, 28), moscow_evening, 0.1,
         170141183460469),
        (2, "", Decimal("-0.0000000001"), False, date(1, 1, 1), datetime(1999, 12, 31, 21, tzinfo=UTC),
         float("inf"), -1),
        (3, "Ёж 🦔 \"кавычки\" \\ \t\n'", None, None, None, None, None, None),
        (4, None, Decimal(0), None, date(9999, 12, 31), None, -1e300, 0),
    ]  # fmt: skip
    assert run(warehouse, server, [TableSpec("zoo", "marts.zoo", ("id",))]) == [PublishedTable("zoo", 4, 0, 0, 0)]


def test_only_the_difference_is_written(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Exact counts; NULL to empty and back are changes; an unchanged table is left alone."""
    fill(warehouse, "update core.fct_deals set title = null where deal_id = 9")
    run(warehouse, server)
    fill(
        warehouse,
        """
        delete from core.fct_deals where deal_id in (1, 2);
        update core.fct_deals set amount_rc = 0.01 where deal_id in (3, 4, 5);
        update core.fct_deals set title = '' where deal_id = 9;
        insert into core.fct_deals values (1001, 'новая', null)
        """,
    )
    assert run(warehouse, server, run_id="r2") == [
        PublishedTable("fct_deals", 99, inserted=1, updated=4, deleted=2),
        PublishedTable("channel_roi", 10, inserted=0, updated=0, deleted=0),
    ]
    assert read(server, "select deal_id, title, amount_rc from marts.fct_deals where deal_id in (1, 3, 9, 1001)") == [
        (3, "Сделка 3", Decimal("0.01")),
        (9, "", Decimal("90.00")),
        (1001, "новая", None),
    ]
    assert [(t.inserted, t.updated, t.deleted) for t in run(warehouse, server, run_id="r3")] == [(0, 0, 0)] * 2
    assert published_run(server) == "r3"


def test_what_did_not_change_is_not_sent_again(server: EmbeddedPostgres, warehouse: Path) -> None:
    """An hour of a company changes a part of its tables; a row that somebody took away on the server comes back."""
    run(warehouse, server)
    staged: list[str] = []

    def listen(step: str, table: str, number: int, of: int) -> None:
        if step == "stage":
            staged.append(table)

    fill(warehouse, "update marts.channel_roi set leads = leads + 1 where channel_key = 'c1'")
    run(warehouse, server, run_id="r2", progress=listen)
    assert (staged, published_run(server)) == (["channel_roi"], "r2")
    fill(warehouse, "update marts.channel_roi set leads = 7 - leads where leads in (3, 4)")  # two values change places
    assert run(warehouse, server, run_id="r3")[1] == PublishedTable("channel_roi", 10, 0, updated=2, deleted=0)
    with psycopg.connect(server.publisher_url(), autocommit=True) as con:
        con.execute("delete from marts.fct_deals where deal_id = 1")
    assert run(warehouse, server, run_id="r4")[0] == PublishedTable("fct_deals", 100, inserted=1, updated=0, deleted=0)


def test_an_emptied_and_a_refilled_table(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A mart without rows is a mart all the same."""
    fill(warehouse, "delete from marts.channel_roi")
    assert run(warehouse, server)[1] == PublishedTable("channel_roi", 0, 0, 0, 0)
    fill(warehouse, "insert into marts.channel_roi values ('x', date '2026-06-01', 1)")
    assert run(warehouse, server)[1] == PublishedTable("channel_roi", 1, 1, 0, 0)
    fill(warehouse, "delete from marts.channel_roi")
    assert run(warehouse, server, allow_shrink=True)[1] == PublishedTable("channel_roi", 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("insert into core.fct_deals values (7, 'again', 1)", r"\(deal_id\) of core\.fct_deals is repeated: \(7,\)"),
        ("insert into core.fct_deals values (null, 'no key', 1)", r"\(deal_id\) of core\.fct_deals is empty"),
        ("drop table core.fct_deals", r"The warehouse has no core\.fct_deals\. Run `b24 sync`"),
        ("alter table core.fct_deals drop deal_id", r"core\.fct_deals lacks its primary key \(deal_id\)"),
        ("alter table core.fct_deals add column tags varchar[]", r"core\.fct_deals\.tags has the type VARCHAR\[\]"),
        (
            "alter table core.fct_deals add column total hugeint; update core.fct_deals set total = 1e30",
            r"A whole number in core\.fct_deals does not fit",
        ),
    ],
)
def test_what_cannot_be_published_is_named_and_nothing_is_published(
    change: str, message: str, server: EmbeddedPostgres, warehouse: Path
) -> None:
    """The last state stays, and nothing is left on the server's disk."""
    run(warehouse, server)
    fill(warehouse, "update marts.channel_roi set leads = leads + 1")
    fill(warehouse, change)
    with pytest.raises(PublishError, match=message):
        run(warehouse, server, run_id="r2")
    assert published_run(server) == "r1"
    assert read(server, "select sum(leads) from marts.channel_roi") == [(45,)]
    assert read(server, STAGING_TABLES, "marts_owner") == [("tables",)]


# the guard


def test_a_shrinking_table_stops_everything(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Narrowed rights of the webhook's user look like vanished deals; exactly the guard's share may go."""
    run(warehouse, server)
    fill(warehouse, "delete from core.fct_deals where deal_id > 80")
    assert run(warehouse, server, run_id="r2")[0].deleted == 20
    fill(warehouse, "delete from core.fct_deals where deal_id > 63; update marts.channel_roi set leads = 7")
    with pytest.raises(PublishError) as caught:
        run(warehouse, server, run_id="r3")
    assert "marts.fct_deals: 80 rows are published, the new state has 63" in str(caught.value)
    assert "more than 20%" in str(caught.value)
    assert "channel_roi" not in str(caught.value)
    assert published_run(server) == "r2"
    assert read(server, "select count(*) from marts.channel_roi where leads = 7") == [(1,)]
    assert run(warehouse, server, run_id="r3", allow_shrink=True)[0].rows == 63
    assert published_run(server) == "r3"


def test_a_few_rows_and_what_lives_by_losing_rows_may_go(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A dictionary of 15 loses 10, and open deals are closed: neither means narrowed rights."""
    tables = [replace(DEALS, may_shrink=True), ROI]
    fill(warehouse, "insert into marts.channel_roi select 'more' || i, date '2026-06-01', 100 from range(6) as r (i)")
    run(warehouse, server, tables)
    fill(warehouse, "delete from core.fct_deals where deal_id > 1; delete from marts.channel_roi where leads < 100")
    assert [table.rows for table in run(warehouse, server, tables, run_id="r2")] == [1, 6]
    fill(warehouse, "insert into marts.channel_roi select 'c' || i, date '2026-06-01', 1 from range(11) as r (i)")
    run(warehouse, server, tables, run_id="r3")
    fill(warehouse, "delete from marts.channel_roi where leads < 100")
    with pytest.raises(PublishError, match="channel_roi: 17 rows are published, the new state has 6"):
        run(warehouse, server, tables, run_id="r4")


def test_a_table_that_grows_outlives_its_warehouse(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Alerts are made once: a new DuckDB file has none, and must neither take the old away nor stop the publish."""
    growing = [DEALS, replace(ROI, grows=True)]
    run(warehouse, server, growing)
    fill(warehouse, "delete from marts.channel_roi; insert into marts.channel_roi values ('new', '2026-07-01', 1)")
    expected = PublishedTable("channel_roi", 11, inserted=1, updated=0, deleted=0)
    assert run(warehouse, server, growing, run_id="r2")[1] == expected
    assert read(server, "select count(*), sum(leads) from marts.channel_roi") == [(11, 46)]
    assert run(warehouse, server, growing, run_id="r3")[1] == replace(expected, inserted=0)
    fill(warehouse, "update marts.channel_roi set leads = 5")
    assert run(warehouse, server, growing, run_id="r4")[1] == replace(expected, inserted=0, updated=1)


# changes of columns, and analysts' views

VIEW = "create view analyst.big_deals as select deal_id, amount_rc from marts.fct_deals where amount_rc > 500"


def test_views_survive_new_rows_and_new_columns(server: EmbeddedPostgres, warehouse: Path) -> None:
    """An analyst's work must not vanish with a nightly run."""
    run(warehouse, server)
    execute(server, VIEW, "bi_author")
    fill(warehouse, "alter table core.fct_deals add column city varchar; update core.fct_deals set city = 'Омск'")
    assert run(warehouse, server, run_id="r2")[0] == PublishedTable("fct_deals", 100, 0, 100, 0)
    assert read(server, "select count(*) from analyst.big_deals") == [(50,)]
    assert read(server, "select distinct city from marts.fct_deals") == [("Омск",)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("alter table core.fct_deals drop amount_rc", "marts.fct_deals: column amount_rc is gone; used by {views}"),
        (
            "alter table core.fct_deals alter amount_rc type double",
            "marts.fct_deals: column amount_rc becomes double precision; used by {views}",
        ),
    ],
)
def test_a_column_that_views_use_neither_goes_nor_changes_its_type(
    change: str, message: str, server: EmbeddedPostgres, warehouse: Path
) -> None:
    """The message names table, column and views; dropping the views lets the change through."""
    run(warehouse, server)
    execute(server, VIEW, "bi_author")
    execute(server, "create view analyst.total as select sum(amount_rc) from marts.fct_deals", "bi_author")
    execute(server, "create view analyst.titles as select title from marts.fct_deals", "bi_author")
    fill(warehouse, change)
    with pytest.raises(PublishError) as caught:
        run(warehouse, server, run_id="r2")
    assert message.format(views="analyst.big_deals, analyst.total") in str(caught.value)
    assert published_run(server) == "r1"
    assert read(server, "select count(*) from analyst.big_deals") == [(50,)]
    execute(server, "drop view analyst.big_deals, analyst.total", "bi_author")
    run(warehouse, server, run_id="r2")
    assert published_run(server) == "r2"
    assert read(server, "select count(*) from analyst.titles") == [(100,)]


def test_a_column_nobody_uses_goes_or_changes_its_type(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Without views there is nothing to break; the values follow."""
    run(warehouse, server)
    fill(warehouse, "alter table core.fct_deals drop title; alter table core.fct_deals alter amount_rc type double")
    assert run(warehouse, server, run_id="r2")[0] == PublishedTable("fct_deals", 100, 0, 100, 0)
    assert read(
        server,
        "select column_name, data_type from information_schema.columns where table_name = 'fct_deals' order by 1",
        "marts_owner",
    ) == [("amount_rc", "double precision"), ("deal_id", "bigint")]
    assert read(server, "select sum(amount_rc) from marts.fct_deals") == [(50500.0,)]


def test_a_new_primary_key_replaces_the_rows(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Rows of two keys cannot be compared; a column that left the key may be empty."""
    run(warehouse, server)
    fill(warehouse, "alter table marts.channel_roi alter channel_key type bigint using leads")
    fill(warehouse, "update marts.channel_roi set period_month = null where leads = 3")
    by_channel = replace(ROI, primary_key=("channel_key",))
    assert run(warehouse, server, [DEALS, by_channel], "r2")[1] == PublishedTable("channel_roi", 10, 10, 0, 10)
    assert run(warehouse, server, [DEALS, by_channel], "r3")[1] == PublishedTable("channel_roi", 10, 0, 0, 0)
    assert read(server, "select channel_key from marts.channel_roi where period_month is null") == [(3,)]


def test_a_table_that_is_no_longer_published(server: EmbeddedPostgres, warehouse: Path) -> None:
    """It is dropped, unless a view lives on it."""
    run(warehouse, server)
    execute(server, "create view analyst.roi as select count(*) as n from marts.channel_roi", "bi_author")
    with pytest.raises(PublishError, match=r"marts\.channel_roi: the table is gone; used by analyst\.roi"):
        run(warehouse, server, [DEALS], "r2")
    assert published_run(server) == "r1"
    execute(server, "drop view analyst.roi", "bi_author")
    run(warehouse, server, [DEALS], "r2")
    assert read(server, "select to_regclass('marts.channel_roi'), to_regclass('marts.fct_deals')::text") == [
        (None, "fct_deals")
    ]


def test_comments_follow_the_descriptions(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Also when they are taken away."""
    run(warehouse, server)
    run(warehouse, server, [replace(DEALS, description="", columns={"title": "Имя 'сделки'"}), ROI])
    assert read(
        server,
        "select obj_description('marts.fct_deals'::regclass), col_description('marts.fct_deals'::regclass, 1), "
        "col_description('marts.fct_deals'::regclass, 2)",
    ) == [(None, None, "Имя 'сделки'")]


def test_a_table_that_is_not_ours_is_left_alone(server: EmbeddedPostgres, warehouse: Path) -> None:
    """MARTS_POSTGRES_URL may point at a database with a schema marts of somebody else."""
    execute(server, "create table marts.channel_roi (theirs text); create table marts.other (x int)", "marts_owner")
    with pytest.raises(PublishError, match="already has a channel_roi that this pipeline did not publish"):
        run(warehouse, server)
    execute(server, "drop table marts.channel_roi", "marts_owner")
    run(warehouse, server)
    assert read(server, "select to_regclass('marts.other') is not null") == [(True,)]


def test_marts_of_another_portal_are_not_overwritten(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A demo with the company's MARTS_POSTGRES_URL still in `.env`."""
    run(warehouse, server)
    with pytest.raises(PortalMismatch, match=r"are those of north\.bitrix24\.ru, but this warehouse belongs to 127"):
        publish(warehouse, server, BOTH, PublishInfo("demo", AS_OF, "127.0.0.1:8024"))
    assert published_run(server) == "r1"


def test_a_renamed_portal_goes_on_publishing(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Its new address must not turn its own marts into a stranger's."""
    run(warehouse, server)
    publish(warehouse, server, BOTH, PublishInfo("r2", AS_OF, "pole.bitrix24.ru", ("north.bitrix24.ru",)))
    assert read(server, "select portal_host from marts.publish_info") == [("pole.bitrix24.ru",)]


# rights


def test_bi_reader_reads_everything_and_writes_nothing(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Read-only by right, not only by a default that a session may change."""
    run(warehouse, server)
    assert read(server, "select count(*) from fct_deals") == [(100,)]  # found without naming the schema
    attempts = [
        "delete from marts.fct_deals",
        "update marts.publish_info set run_id = 'x'",
        "create table marts.mine (x int)",
        "create table analyst.mine (x int)",
        "create table public.mine (x int)",
        "create temp table mine (x int)",
        "select * from marts_publish.tables",
        "create schema mine",
    ]
    for attempt in attempts:
        with psycopg.connect(server.url("bi_reader"), autocommit=True) as con:
            if not attempt.startswith("select"):
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    con.execute(attempt)
            con.execute("set default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                con.execute(attempt)


def test_bi_author_adds_views_that_bi_reader_reads(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Only in schema analyst, and marts stay out of reach."""
    run(warehouse, server)
    execute(server, VIEW, "bi_author")
    assert read(server, "select count(*) from analyst.big_deals") == [(50,)]
    for attempt in ("create view marts.mine as select 1", "delete from marts.fct_deals", "create schema mine"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(server, attempt, "bi_author")


def test_public_gets_nothing(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A role made later by somebody else must not read the company's sales by default."""
    run(warehouse, server)
    granted_to_all = "select count(*) from pg_{0} where exists (select from aclexplode({1}) as a where a.grantee = 0)"
    assert read(server, granted_to_all.format("database", "coalesce(datacl, acldefault('d', datdba))")) == [(1,)]
    assert read(
        server,
        granted_to_all.format("database", "coalesce(datacl, acldefault('d', datdba))")
        + " and datname in ('marts', 'postgres', 'template1')",
    ) == [(0,)]
    assert read(
        server,
        granted_to_all.format("namespace", "nspacl")
        + " and nspname in ('public', 'marts', 'analyst', 'marts_publish')",
    ) == [(0,)]
    assert read(
        server,
        granted_to_all.format("class", "relacl") + " and relnamespace = 'marts'::regnamespace",
    ) == [(0,)]


# readers at work


def test_a_reader_never_sees_two_runs_at_once(server: EmbeddedPostgres, warehouse: Path) -> None:
    """In one statement, and in one transaction of several statements; nor does it wait long."""
    fill(warehouse, "update marts.channel_roi set leads = 0; update core.fct_deals set amount_rc = 0")
    run(warehouse, server, run_id="0")
    stop, seen, mixed, slowest = threading.Event(), set(), [], 0.0

    def keep_reading() -> None:
        nonlocal slowest
        with psycopg.connect(server.url("bi_reader")) as con:
            while not stop.is_set():
                began = datetime.now(UTC)
                with con.transaction():
                    roi = con.execute("select min(leads), max(leads) from marts.channel_roi").fetchone()
                    deals = con.execute("select min(amount_rc), max(amount_rc) from marts.fct_deals").fetchone()
                    info = con.execute("select run_id::int, run_id::int from marts.publish_info").fetchone()
                slowest = max(slowest, (datetime.now(UTC) - began).total_seconds())
                assert info is not None
                seen.add(info[0])
                if not roi == deals == info:
                    mixed.append((roi, deals, info))

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for number in range(1, 5):
            fill(warehouse, f"update marts.channel_roi set leads = {number}")
            fill(warehouse, f"update core.fct_deals set amount_rc = {number}")
            run(warehouse, server, run_id=str(number))
    finally:
        stop.set()
        reader.join()
    assert mixed == []
    assert len(seen) >= 2  # it did read between the publishes
    assert slowest < 2


def test_an_open_transaction_delays_only_changes_of_columns(
    server: EmbeddedPostgres, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forgotten BI session must block neither the nightly rows nor, while we wait for it, the other readers."""
    monkeypatch.setattr(publishing, "LOCK_TRIES", 2)
    monkeypatch.setattr(publishing, "LOCK_WAIT_S", 0.5)
    monkeypatch.setattr(publishing, "LOCK_PAUSE_S", 0.1)
    run(warehouse, server)
    with psycopg.connect(server.url("bi_reader")) as idle:
        idle.execute("select count(*) from marts.fct_deals")
        fill(warehouse, "update core.fct_deals set amount_rc = 1")
        run(warehouse, server, run_id="r2")
        fill(warehouse, "alter table core.fct_deals add column city varchar")
        with pytest.raises(PublishError) as caught:
            run(warehouse, server, run_id="r3")
        assert "marts.fct_deals gets other columns or rights" in str(caught.value)
        assert f"bi_reader (process {idle.info.backend_pid})" in str(caught.value)
        assert published_run(server) == "r2"
    run(warehouse, server, run_id="r3")
    assert published_run(server) == "r3"


# kills

PUBLISH_AND_DIE = """
import json, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from warehouse.postgres import ExternalPostgres
from warehouse.publish import PublishInfo, TableSpec, publish

order = json.load(sys.stdin)
def die(step, table, number, of):
    if [step, number] == order["die_at"]:
        os.kill(os.getpid(), signal.SIGKILL)
tables = [TableSpec(name, relation, tuple(key)) for name, relation, key in order["tables"]]
publish(Path(order["warehouse"]), ExternalPostgres(order["url"]), tables,
        PublishInfo("killed", datetime.now(UTC)), progress=die)
"""


@pytest.mark.parametrize(
    ("step", "number", "is_published"),
    [("stage", 2, False), ("apply", 2, False), ("clean", 1, True)],
)
def test_a_killed_publish_leaves_one_whole_state(
    step: str, number: int, is_published: bool, server: EmbeddedPostgres, warehouse: Path
) -> None:
    """SIGKILL while staging, inside the transaction with one of two tables done, and after the commit."""
    run(warehouse, server)
    fill(warehouse, "update core.fct_deals set amount_rc = 1; update marts.channel_roi set leads = 1")
    order = {
        "warehouse": str(warehouse),
        "url": server.publisher_url(),
        "tables": [[spec.name, spec.relation, spec.primary_key] for spec in BOTH],
        "die_at": [step, number],
    }
    killed = subprocess.run([sys.executable, "-c", PUBLISH_AND_DIE], input=json.dumps(order), text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    state = "select (select sum(amount_rc) from marts.fct_deals), (select sum(leads) from marts.channel_roi), run_id "
    expected = (100, 10, "killed") if is_published else (50500, 45, "r1")
    assert read(server, state + "from marts.publish_info") == [expected]
    run(warehouse, server, run_id="r2")
    assert read(server, state + "from marts.publish_info") == [(100, 10, "r2")]
    assert read(server, STAGING_TABLES, "marts_owner") == [("tables",)]


# failures of the server


def test_a_server_that_does_not_answer(server: EmbeddedPostgres, warehouse: Path) -> None:
    """The message tells the address and the next step."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        url = f"postgresql://marts_owner:s3cret7c1@127.0.0.1:{port}/marts"
        with pytest.raises(PublishError) as caught:
            run(warehouse, ExternalPostgres(url))
    assert f"PostgreSQL at 127.0.0.1:{port}/marts does not answer" in str(caught.value)
    assert "s3cret7c1" not in repr(caught.value)


def test_a_wrong_password_is_told_but_not_shown(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Neither in the message nor in the exceptions behind it."""
    url = f"postgresql://marts_owner:s3cret7c1@{server.address}"
    with pytest.raises(PublishError) as caught:
        run(warehouse, ExternalPostgres(url))
    assert "does not accept this user or password. Correct MARTS_POSTGRES_URL" in str(caught.value)
    assert "s3cret7c1" not in repr(caught.value)
    assert "s3cret7c1" not in server.log.read_text()


def test_a_full_disk_of_the_server_is_told() -> None:
    """By PostgreSQL's own code for it, from either driver."""
    assert "has no space left on its disk; the last published state stays" in explain(
        psycopg.errors.DiskFull("could not extend file"), "db:5432/marts"
    )


def test_a_server_of_ones_own(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A database that an administrator prepared: its own owner, roles bi_reader and bi_author already there."""
    address = server.address.removesuffix("/marts")
    with psycopg.connect(admin_url(server), autocommit=True) as con:
        con.execute("create role company login password 'company-7c1'")
        con.execute("create database company owner company")
        con.execute("grant connect on database company to bi_reader")
    target = ExternalPostgres(f"postgresql://company:company-7c1@{address}/company")
    assert target.prepare() == []
    assert target.address == f"{address}/company"
    assert run(warehouse, target)[0].inserted == 100
    reader = server.url("bi_reader").removesuffix("/marts") + "/company"
    with psycopg.connect(reader) as con:
        assert con.execute("select count(*) from marts.fct_deals").fetchone() == (100,)


def test_an_old_server_is_refused(server: EmbeddedPostgres, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is changed on it."""
    monkeypatch.setattr(postgres, "OLDEST_SERVER", 990_000)
    with pytest.raises(PublishError, match="is PostgreSQL 18; 14 or later is needed"):
        run(warehouse, ExternalPostgres(server.publisher_url()))


def test_two_publishers_do_not_mix(server: EmbeddedPostgres, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines with one MARTS_POSTGRES_URL have no common lock file."""
    monkeypatch.setattr(postgres, "OTHER_PUBLISHER_WAIT_S", 0.3)
    with psycopg.connect(server.publisher_url()) as other:
        other.execute("select pg_advisory_lock(%s)", [postgres.ONE_PUBLISHER_LOCK])
        with pytest.raises(PublishError, match=r"Another publish to .* is under way"):
            run(warehouse, server)
    assert run(warehouse, server)[0].inserted == 100


def test_missing_rights_are_told(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A user who may not create schemas."""
    with pytest.raises(PublishError, match="does not give this user enough rights"):
        run(warehouse, ExternalPostgres(server.url("bi_author")))


# the embedded server


@contextmanager
def another_server(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_address_and_passwords_never_change(folder: Path) -> None:
    """BI tools keep them; the server outlives a kill, and rows with it."""
    with another_server(folder / "kept.postgres") as server:
        with pytest.raises(PostgresError, match="no embedded PostgreSQL yet"):
            server.url()
        assert not server.is_running()
        server.start()
        url = server.url()
        execute(server, "create table marts.t as select 7 as x", "marts_owner")
        assert read(server, "show fsync") == [("on",)]
        for name in ("credentials.json", "port", "server.log"):
            assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600
        assert (server.folder / ".gitignore").read_text() == "*\n"

        pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        again = EmbeddedPostgres(server.folder)
        again.start()
        assert again.is_running()
        assert again.url() == url
        assert read(again, "select x from marts.t") == [(7,)]

        assert again.stop()
        assert not again.stop()
        # after a reboot the number in postmaster.pid may be any living process: here it is ours
        (server.folder / "data" / "postmaster.pid").write_text(
            f"{os.getpid()}\n{server.folder / 'data'}\n0\n1\n\n\n\n\n"
        )
        assert not again.is_running()
        again.start()
        assert read(again, "select x from marts.t") == [(7,)]


def test_a_port_taken_by_another_program_is_told(folder: Path) -> None:
    """Moving silently to another port would leave every BI connection pointing at a stranger."""
    with another_server(folder / "port.postgres") as server, socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        server.folder.mkdir()
        (server.folder / "port").write_text(str(port))
        with pytest.raises(PostgresError, match=f"Port {port}, .* is taken by another program"):
            server.start()


def test_the_server_listens_on_loopback_only(server: EmbeddedPostgres) -> None:
    """Its marts are a company's sales; no socket file either."""
    assert read(server, "show listen_addresses") == [("127.0.0.1",)]
    sockets = "select setting from pg_settings where name = 'unix_socket_directories'"
    with psycopg.connect(admin_url(server)) as con:
        assert con.execute(sockets).fetchone() == ("",)
    assert read(server, "show timezone") == [("Europe/Moscow",)]
    assert read(server, "select 'ЁЖ' ilike 'ёж', lower('ЩУКА')") == [(True, "щука")]


def test_a_closed_parent_folder(folder: Path) -> None:
    """Root hands the server over to another user, who must get there; an ordinary user needs no such thing."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with another_server(closed / "deep" / "crm.postgres") as server:
        if os.geteuid() == 0:
            with pytest.raises(PostgresError) as caught:
                server.start()
            assert f"but {closed} is closed to that user" in str(caught.value)
            assert "WAREHOUSE_PATH" in str(caught.value)
        else:
            server.start()
            assert server.is_running()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
