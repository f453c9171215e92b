"""The ledger of runs in a real DuckDB file."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest

from dlt_sources.bitrix24.details import DETAILS, Moment, Owner, OwnerRead
from dlt_sources.bitrix24.load import EntityReport, Position
from dlt_sources.bitrix24.preflight import Rights
from dlt_sources.bitrix24.sweep import Bucket, Check
from warehouse.duckdb_file import open_warehouse
from warehouse.errors import PortalMismatch, WarehouseBusy, WarehouseError
from warehouse.ledger import Ledger, column_name, read_status

NOON = datetime(2026, 6, 15, 12, tzinfo=timezone(timedelta(hours=3)))
HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crm.duckdb"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path)


def report(entity: str, *, rows_read: int) -> EntityReport:
    return EntityReport(
        entity=entity,
        mode="full",
        window_from=None,
        after_id=0,
        requests=1,
        commands=50,
        pages=50,
        rows_read=rows_read,
        rows_new=rows_read,
        rows_changed=0,
        operating_seconds=0.5,
        refusals=0,
        retries=0,
        watermark=NOON,
        note="",
    )


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    with open_warehouse(path) as con:
        return con.execute(text).fetchall()


def run(path: Path, script: str) -> None:
    with open_warehouse(path) as con:
        con.execute(script)


# runs


def test_a_run_goes_from_started_to_published(ledger: Ledger, path: Path) -> None:
    """dbt takes `as_of` from this table, so it must be there before the load."""
    ledger.start_run("r1", NOON)
    assert query(path, "select status, finished_at, as_of = '2026-06-15 09:00:00+00' from ops.sync_runs") == [
        ("started", None, True)
    ]
    ledger.mark_loaded("r1")
    assert query(path, "select status from ops.sync_runs") == [("loaded",)]
    ledger.finish_run("r1")
    assert query(path, "select status, finished_at is not null, error from ops.sync_runs") == [
        ("published", True, None)
    ]


def test_the_next_run_marks_killed_runs_failed(ledger: Ledger, path: Path) -> None:
    """A run that was killed cannot say so itself; a published one must stay published."""
    ledger.start_run("whole", NOON)
    ledger.finish_run("whole")
    ledger.start_run("killed in load", NOON + HOUR)
    ledger.start_run("killed in dbt", NOON + HOUR)
    ledger.mark_loaded("killed in dbt")
    ledger.start_run("now", NOON + 2 * HOUR)
    assert dict(query(path, "select run_id, status from ops.sync_runs")) == {  # type: ignore[arg-type]
        "whole": "published",
        "killed in load": "failed",
        "killed in dbt": "failed",
        "now": "started",
    }


def test_a_failed_run_keeps_its_reason(ledger: Ledger, path: Path) -> None:
    """`b24 status` shows it."""
    ledger.start_run("r1", NOON)
    ledger.fail_run("r1", "Портал не отвечает " + "x" * 10_000)
    [(status, error)] = query(path, "select status, error from ops.sync_runs")
    assert status == "failed"
    assert str(error).startswith("Портал не отвечает")
    assert len(str(error)) == 4_000


def test_an_unknown_run_cannot_end(ledger: Ledger) -> None:
    """A typing error in a run id must not pass in silence."""
    with pytest.raises(WarehouseError, match="knows no run r9"):
        ledger.finish_run("r9")


def test_going_back_behind_the_last_watermark_is_refused(ledger: Ledger, path: Path) -> None:
    """State columns cannot be rolled back; the same instant in another zone is not earlier."""
    ledger.start_run("r1", NOON)
    ledger.save({"deals": Position(watermark=NOON), "leads": Position(watermark=NOON - HOUR)}, [])
    ledger.finish_run("r1")
    ledger.start_run("r2", NOON.astimezone(UTC))
    with pytest.raises(WarehouseError) as caught:
        ledger.start_run("r3", NOON - timedelta(seconds=1))
    assert "2026-06-15 09:00:00 UTC" in str(caught.value)
    assert "2026-06-15 08:59:59 UTC" in str(caught.value)
    assert query(path, "select count(*) from ops.sync_runs where run_id = 'r3'") == [(0,)]


# the portal


def test_another_portal_is_refused(ledger: Ledger, path: Path) -> None:
    """The demo's rows among a company's would be found much later."""
    assert ledger.portal_hosts() == []
    ledger.bind_portal("north.bitrix24.ru")
    ledger.bind_portal("north.bitrix24.ru")
    with pytest.raises(
        PortalMismatch, match=r"data of north\.bitrix24\.ru, but the webhook belongs to 127\.0\.0\.1:8024"
    ):
        ledger.bind_portal("127.0.0.1:8024")
    assert Ledger(path).portal_hosts() == ["north.bitrix24.ru"]


def test_a_renamed_portal_is_the_same_portal(ledger: Ledger) -> None:
    """The old address leads on to the new one; later somebody corrects the webhook, and both stay known."""
    ledger.bind_portal("north.bitrix24.ru")
    ledger.bind_portal("pole.bitrix24.ru", redirected_from="north.bitrix24.ru")
    ledger.bind_portal("pole.bitrix24.ru", redirected_from="pole.bitrix24.ru")
    assert ledger.portal_hosts() == ["pole.bitrix24.ru", "north.bitrix24.ru"]
    with pytest.raises(PortalMismatch, match=r"holds the data of pole\.bitrix24\.ru"):
        ledger.bind_portal("evil.bitrix24.ru", redirected_from="south.bitrix24.ru")


# progress


def test_positions_survive_the_process_as_they_were(ledger: Ledger, path: Path) -> None:
    """Every field decides what the next run reads."""
    ledger.start_run("r1", NOON)
    deals = Position(NOON, left=((700, 1400), (2100, None)), is_complete=False, wide_date=date(2026, 6, 15))
    calls = Position(watermark=None, left=((91, None),), is_complete=True, wide_date=None)
    ledger.save({"deals": deals, "calls": calls}, [])
    assert Ledger(path).positions() == {"deals": deals, "calls": calls}
    moved = Position(NOON + HOUR, left=((2150, None),), is_complete=True, wide_date=date(2026, 6, 16))
    ledger.save({"deals": moved}, [])
    assert Ledger(path).positions() == {"deals": moved, "calls": calls}
    watermark = Ledger(path).positions()["deals"].watermark
    assert watermark is not None
    assert watermark.tzinfo is UTC


def test_totals_of_a_run_are_kept_once_per_entity(ledger: Ledger, path: Path) -> None:
    """Reports hold totals of the run so far: adding them up would count the first package again with each later one."""
    ledger.start_run("r1", NOON)
    ledger.save({}, [report("deals", rows_read=100)])
    ledger.save({}, [report("deals", rows_read=250), report("leads", rows_read=7)])
    ledger.finish_run("r1")
    ledger.start_run("r2", NOON + HOUR)
    ledger.save({}, [report("deals", rows_read=3)])
    assert query(path, "select run_id, entity, rows_read from ops.sync_entities order by all") == [
        ("r1", "deals", 250),
        ("r1", "leads", 7),
        ("r2", "deals", 3),
    ]
    assert ledger.reports("r1")["deals"]["commands"] == 50


def test_progress_outside_a_run_is_refused(ledger: Ledger) -> None:
    """It would be written to no run's account."""
    with pytest.raises(WarehouseError, match="No run is under way"):
        ledger.save({"deals": Position()}, [])
    assert ledger.positions() == {}


def test_progress_and_totals_are_one_transaction(ledger: Ledger) -> None:
    """Progress without its rows, or the other way round, loses or repeats a package."""
    ledger.start_run("r1", NOON)
    broken = report("deals", rows_read=1)
    broken.requests = "many"  # type: ignore[assignment]
    with pytest.raises(duckdb.ConversionException):
        ledger.save({"deals": Position(left=((5, None),))}, [broken])
    assert ledger.positions() == {}


def test_an_older_ledger_gets_the_missing_columns(ledger: Ledger, path: Path) -> None:
    """An upgrade must not need a new warehouse; what told its progress in another way is read again."""
    with duckdb.connect(path) as con:
        con.execute("create schema ops; create table ops.positions (entity varchar primary key, watermark timestamptz)")
        con.execute("insert into ops.positions values ('deals', '2026-06-15 12:00:00+03')")
    assert ledger.positions() == {}
    ledger.start_run("r1", NOON)
    ledger.save({"deals": Position(watermark=NOON, left=((9, None),))}, [])
    assert ledger.positions()["deals"].last_id == 9


# proofs of completeness

BUCKET = Bucket(0, 100_000, 2, "there", 2, "here")


def test_a_proof_is_kept_with_its_run_and_buckets_are_the_latest(ledger: Ledger, path: Path) -> None:
    """Buckets of an earlier check beside those of a later one would prove neither."""
    later = Bucket(100_000, 200_000, 1, "a", 1, "a")
    check = Check("deals", NOON, portal_ids=2, warehouse_ids=2, marked=3, healed=1, commands=4, buckets=[BUCKET, later])
    ledger.save_checks("r1", [check, Check("leads", NOON, missing=[("7",)], extra=[("8",), ("9",)])])
    ledger.save_checks("r2", [Check("deals", NOON + HOUR, note="refused", buckets=[later])])
    columns = "run_id, entity, is_equal, portal_ids, missing, extra, marked, healed, commands, note"
    assert query(path, f"select {columns} from ops.id_checks order by all") == [
        ("r1", "deals", True, 2, 0, 0, 3, 1, 4, ""),
        ("r1", "leads", False, 0, 1, 2, 0, 0, 0, ""),
        ("r2", "deals", False, 0, 0, 0, 0, 0, 0, "refused"),
    ]
    assert query(path, "select run_id, entity, low, warehouse_hash from ops.id_buckets") == [
        ("r2", "deals", 100_000, "a")
    ]
    assert ledger.checked_at() == {"deals": NOON + HOUR, "leads": NOON}
    proofs = {proof.entity: proof for proof in read_status(path).proofs}
    assert (proofs["deals"].equal_at, proofs["deals"].checked_at, proofs["deals"].note) == (
        NOON,
        NOON + HOUR,
        "refused",
    )
    assert proofs["leads"].equal_at is None


ADMIN = Rights("1", True, ("crm", "task"))


def test_rights_are_judged_by_the_best_that_were_accepted(ledger: Ledger) -> None:
    """Rights that were cut must not become the measure by being seen twice; more rights become it at once."""
    less = Rights("1", True, ("crm",))
    assert ledger.lost_rights(ADMIN) == ""
    assert ledger.lost_rights(less) == ledger.lost_rights(less) == "the webhook lost the scope task"
    assert ledger.lost_rights(ADMIN) == ""
    ledger.accept_rights(less)
    assert ledger.lost_rights(less) == ""
    assert ledger.lost_rights(ADMIN) == ""
    assert ledger.lost_rights(less) != ""


def test_what_a_sync_left_of_a_list_is_remembered(ledger: Ledger) -> None:
    """Other facts lie in the same table."""
    ledger.changed_fact("personal_data", "x")
    ledger.keep_fingerprints({"users": "a", "pipelines/2": "b"})
    ledger.keep_fingerprints({"users": "c"})
    assert ledger.fingerprints() == {"users": "c", "pipelines/2": "b"}


def test_a_fact_that_changes_is_told_once(ledger: Ledger) -> None:
    """The first value is no change."""
    assert [ledger.changed_fact("mode", value) for value in ("hash", "hash", "drop", "drop")] == [
        False, False, True, False,
    ]  # fmt: skip


# owners of product rows

DEALS = """
create schema if not exists raw_bitrix24;
create table raw_bitrix24.deals (
    id varchar, closed varchar, moved_time varchar, date_modify varchar, _deleted_at varchar, _loaded_at varchar
);
insert into raw_bitrix24.deals values
    ('9',  'N', '2026-06-01T00:00:00+03:00', 'm9', null, '2026-06-15T09:00:00Z'),
    ('10', 'N', '2026-05-01T00:00:00+03:00', 'm10', null, '2026-06-15T09:00:00Z'),
    ('11', 'Y', '2026-06-01T00:30:00+03:00', 'm11', null, '2026-06-15T09:00:00Z'),
    ('12', 'Y', '2026-05-31T23:00:00+00:00', 'm12', null, '2026-06-15T09:00:00Z'),
    ('13', 'Y', '', 'm13', null, '2026-06-15T09:00:00Z'),
    ('14', 'Y', '2026-06-02T00:00:00+03:00', 'm14', '2026-06-15T09:00:00Z', '2026-06-15T09:00:00Z');
"""
DETAIL = next(detail for detail in DETAILS if detail.owners == "deals")
MOMENT = Moment.of(NOON, "Europe/Moscow")


def owners(ledger: Ledger, limit: int = 10, moment: Moment = MOMENT) -> list[tuple[int, str]]:
    return [(owner.id, owner.version) for owner in ledger.owners_to_read(DETAIL, moment, limit)]


def left(ledger: Ledger) -> int:
    return ledger.save_coverage([DETAIL], MOMENT)["product_rows"]


def test_nothing_is_owed_before_the_first_load(ledger: Ledger) -> None:
    """The first run asks before there are tables."""
    assert owners(ledger) == []
    assert left(ledger) == 0


def test_owners_come_latest_closed_first_then_newest(ledger: Ledger, path: Path) -> None:
    """Revenue by product needs closed deals first; instants are compared, not texts; deleted deals are left out."""
    run(path, DEALS)
    # 12 closed at 02:00 Moscow time, after 11 at 00:30; 13 does not say when
    assert owners(ledger) == [(12, "m12"), (11, "m11"), (13, "m13"), (10, "m10"), (9, "m9")]
    assert owners(ledger, 2) == [(12, "m12"), (11, "m11")]
    assert owners(ledger, 0) == []
    assert left(ledger) == 5


def test_owners_are_read_again_only_after_a_change(ledger: Ledger, path: Path) -> None:
    """11 changed since; 10 was read and has no rows; 9 and 13 were never read."""
    run(path, DEALS)
    read = {12: ("m12", 2), 11: ("before", 1), 10: ("m10", 0)}
    ledger.save_owners(
        "product_rows", MOMENT, [OwnerRead(Owner("D", deal, version), rows) for deal, (version, rows) in read.items()]
    )
    # the same ids of another type, or another table, are other owners
    ledger.save_owners("product_rows", MOMENT, [OwnerRead(Owner("L", 9, "m9"))])
    ledger.save_owners("task_history", MOMENT, [OwnerRead(Owner("D", 13, "m13"))])
    assert owners(ledger) == [(11, "m11"), (13, "m13"), (9, "m9")]
    assert left(ledger) == 3
    ledger.forget_owners()
    assert left(ledger) == 5


def test_refused_owners_come_last_and_after_a_day(ledger: Ledger, path: Path) -> None:
    """At the head of the queue they would crowd out all others, run after run."""
    run(path, DEALS)
    ledger.save_owners("product_rows", MOMENT, [OwnerRead(Owner("D", 12, "m12"), refusal="no")])
    assert (12, "m12") not in owners(ledger)
    tomorrow = Moment.of(NOON + timedelta(days=1), "Europe/Moscow")
    assert owners(ledger, moment=tomorrow)[-1] == (12, "m12")


# names of custom fields

FIELDS = """
create schema if not exists raw_bitrix24;
create table raw_bitrix24.custom_fields (
    entity_id varchar, field_name varchar, id varchar, edit_form_label varchar, list_column_label varchar
);
"""


def add_field(path: Path, entity: str, code: str, number: int, label: str | None, second: str | None = None) -> None:
    with open_warehouse(path) as con:
        con.execute(
            "insert into raw_bitrix24.custom_fields values (?, ?, ?, ?, ?)", [entity, code, number, label, second]
        )


def names(path: Path, entity: str) -> dict[object, object]:
    rows = query(path, f"select field_code, column_name from ops.custom_field_names where entity_id = '{entity}'")
    return dict(rows)  # type: ignore[arg-type]


def test_labels_become_readable_unique_columns(ledger: Ledger, path: Path) -> None:
    """Collisions, emoji, empty labels, reserved words and the tables' own columns."""
    run(path, FIELDS)
    labels = ["Дата отгрузки", "Дата  отгрузки!", "🔥🔥", "", None, "Deal ID", "Order", "1С код", "№ договора"]
    for number, label in enumerate(labels, start=1):
        add_field(path, "CRM_DEAL", f"UF_CRM_{number}", number, label)
    add_field(path, "CRM_DEAL", "UF_CRM_10", 10, " ", "Объём, м³")
    assert ledger.fix_custom_field_names() == 10
    assert names(path, "CRM_DEAL") == {
        "UF_CRM_1": "data_otgruzki",
        "UF_CRM_2": "data_otgruzki_2",
        "UF_CRM_3": "uf_crm_3",
        "UF_CRM_4": "uf_crm_4",
        "UF_CRM_5": "uf_crm_5",
        "UF_CRM_6": "deal_id_2",
        "UF_CRM_7": "order_2",
        "UF_CRM_8": "n_1s_kod",
        "UF_CRM_9": "no_dogovora",
        "UF_CRM_10": "obem_m3",
    }


def test_a_label_may_come_in_several_languages_or_as_nothing(ledger: Ledger, path: Path) -> None:
    """The label alone makes the name; JSON in it would be a name for ever."""
    run(path, FIELDS)
    labels = ['{"en": "Sum", "ru": "Сумма"}', '{"en": "Weight"}', '["Цвет"]', "[]", "2024", '{"ru": ""}']
    for number, label in enumerate(labels, start=1):
        add_field(path, "CRM_DEAL", f"UF_CRM_{number}", number, label)
    add_field(path, "CRM_DEAL", "UF_CRM_7", 7, "[]", "Город")
    ledger.fix_custom_field_names()
    expected = ["summa", "weight", "tsvet", "uf_crm_4", "n_2024", "uf_crm_6", "gorod"]
    assert list(names(path, "CRM_DEAL").values()) == expected
    assert ledger.custom_field_labels()["CRM_DEAL"]["summa"] == "Сумма"


def test_a_name_is_fixed_at_first_sight(ledger: Ledger, path: Path) -> None:
    """A label renamed in the portal must not break reports; a new field may not take the old name."""
    run(path, FIELDS)
    add_field(path, "CRM_LEAD", "UF_CRM_1", 1, "Бюджет")
    assert ledger.fix_custom_field_names() == 1
    run(path, "update raw_bitrix24.custom_fields set edit_form_label = 'Сумма'")
    add_field(path, "CRM_LEAD", "UF_CRM_2", 2, "Бюджет")
    assert ledger.fix_custom_field_names() == 1
    assert ledger.fix_custom_field_names() == 0
    assert names(path, "CRM_LEAD") == {"UF_CRM_1": "biudzhet", "UF_CRM_2": "biudzhet_2"}


def test_contacts_and_companies_share_names_but_deals_do_not(ledger: Ledger, path: Path) -> None:
    """Contacts' and companies' fields meet in one table, client_fields; deals have a table of their own."""
    run(path, FIELDS)
    for number, entity in enumerate(["CRM_CONTACT", "CRM_COMPANY", "CRM_DEAL"], start=1):
        add_field(path, entity, f"UF_CRM_{number}", number, "Город")
    ledger.fix_custom_field_names()
    assert {*names(path, "CRM_CONTACT").values(), *names(path, "CRM_COMPANY").values()} == {"gorod", "gorod_2"}
    assert names(path, "CRM_DEAL") == {"UF_CRM_3": "gorod"}


def test_long_labels_fit_postgresql() -> None:
    """PostgreSQL cuts names at 63 bytes, after which two columns could be one."""
    first = column_name("Согласованный срок поставки по дополнительному соглашению к договору", "UF_1", set())
    second = column_name("Согласованный срок поставки по дополнительному соглашению к договору", "UF_2", {first})
    assert len(first.encode()) <= 63
    assert len(second.encode()) <= 63
    assert second.endswith("_2")
    assert first != second


def test_no_fields_is_no_failure(ledger: Ledger) -> None:
    """A portal without custom fields, before its first load."""
    assert ledger.fix_custom_field_names() == 0


# status


def test_status_counts_tables_and_tells_the_last_runs(ledger: Ledger, path: Path) -> None:
    """What `b24 status` shows after a good and a bad run."""
    ledger.bind_portal("north.bitrix24.ru")
    ledger.start_run("good", NOON)
    run(path, DEALS + "create table raw_bitrix24._dlt_loads (load_id varchar); create schema marts;")
    run(path, "create table marts.channel_roi as select 1 as spend union all select 2")
    ledger.finish_run("good")
    ledger.start_run("bad", NOON + HOUR)
    ledger.fail_run("bad", "no network")
    status = read_status(path)
    assert status.portal_host == "north.bitrix24.ru"
    assert status.last_run is not None
    assert (status.last_run.run_id, status.last_run.status, status.last_run.error) == ("bad", "failed", "no network")
    assert status.last_run.as_of == NOON + HOUR
    assert status.last_published is not None
    assert status.last_published.run_id == "good"
    assert [(t.schema, t.name, t.rows, t.loaded_at) for t in status.tables] == [
        ("raw_bitrix24", "deals", 6, NOON),
        ("marts", "channel_roi", 2, None),
    ]
    assert status.disk_bytes["warehouse"] >= path.stat().st_size
    assert status.disk_bytes["postgres"] == 0


def test_status_without_a_warehouse_says_what_to_do(path: Path) -> None:
    """And does not create an empty file."""
    with pytest.raises(WarehouseError, match=r"does not exist yet\. Run `b24 sync` first"):
        read_status(path)
    assert not path.exists()


# the file

HOLD = """
import duckdb, sys
con = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


WRITE_AND_DIE = """
import duckdb, os, signal, sys
con = duckdb.connect(sys.argv[1])
con.execute("create table t as select 7 as x")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_open_elsewhere_is_busy_and_names_the_process(path: Path) -> None:
    """DuckDB has one writer process; and a reader of another process keeps it out as well."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WarehouseBusy, match=f"open in process {other.pid}"), open_warehouse(path, wait_seconds=0.3):
            pass
        assert other.stdin is not None
        other.stdin.close()
        with open_warehouse(path, wait_seconds=20) as con:
            assert con.execute("select 1").fetchone() == (1,)


def test_a_file_that_is_no_warehouse_is_told_plainly(path: Path) -> None:
    """WAREHOUSE_PATH pointing at a spreadsheet."""
    path.write_bytes(b"PK\x03\x04 not a database" * 1000)
    with pytest.raises(WarehouseError, match=r"is not a DuckDB file\. Set WAREHOUSE_PATH"), open_warehouse(path):
        pass
    assert path.read_bytes().startswith(b"PK")


def test_a_damaged_file_is_told_plainly(path: Path) -> None:
    """A copy that broke off halfway."""
    with open_warehouse(path) as con:
        con.execute("create table t as select range as i from range(1000000)")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(WarehouseError, match=r"is damaged\. Restore a copy"), open_warehouse(path):
        pass


def test_what_a_killed_writer_committed_is_there(path: Path) -> None:
    """Its write-ahead log is replayed, also for a reader."""
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False, stderr=subprocess.DEVNULL)
    with open_warehouse(path, read_only=True) as con:
        assert con.execute("select x from t").fetchone() == (7,)
