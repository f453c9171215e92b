"""Deletions, identity and the proof of completeness, against the stand-in portal over real HTTP."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pipeline.company import NOW, Company, Watch, followed
from pipeline.rehearsal import TwoDays
from pipeline.test_extraction import LINKS, NOT_READ, key_of, rows_of
from typer.testing import CliRunner

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.sweep import BUCKET_IDS, Check
from orchestration.cli import app
from warehouse.ledger import read_status
from warehouse.lock import WarehouseLock

LISTED = sorted(schema.TABLES.keys() - NOT_READ)
# tables whose rows vanish with their owner, and those that each sync reads whole
FOLLOWERS = ("deal_stage_history", "lead_stage_history", "smart_invoice_stage_history", "process_stage_history", *LINKS)

NONE_BEFORE: dict[str, set[tuple[str, ...]]] = {table: set() for table in LISTED}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a company after its first load; a test takes a copy and a portal of the same seed."""
    folder = tmp_path_factory.mktemp("loaded")
    with followed(folder) as company:
        company.sync(details=True)
    return folder


@pytest.fixture
def company(loaded: Path, tmp_path: Path) -> Iterator[Company]:
    shutil.copytree(loaded, tmp_path, dirs_exist_ok=True)
    with followed(tmp_path) as company:
        company.runs = 1
        # portals of this process differ by their port only
        company.change(f"update ops.portal set host = '{company.portal.base_url.removeprefix('http://')}'")
        yield company


def portal_keys(truth: Mapping[str, Any], table: str) -> set[tuple[str, ...]]:
    return {key_of(table, row) for row in rows_of(truth, table)}


def deleted_keys(truth: Mapping[str, Any], table: str) -> set[tuple[str, ...]]:
    """Keys of rows that the portal has deleted."""
    table = LINKS[table][0] if table in LINKS else table
    return {tuple(map(str, one)) if isinstance(one, list) else (str(one),) for one in truth["deleted"][table]}


def listed_keys(company: Company, table: str) -> set[tuple[str, ...]]:
    """Keys that staging takes for living: of a dictionary those that the latest reading of its list brought."""
    part = {"pipelines": "entity_type_id", "custom_fields": "entity_id", "product_sections": "iblock_id"}.get(table)
    names = ", ".join(schema.KEYS[table])
    rows = company.query(
        f"select {names} from raw_bitrix24.{table} where _deleted_at is null qualify "
        f"_loaded_at = max(_loaded_at) over ({f'partition by {part}' if part else ''})"
    )
    return set(rows)


WHOLE = (
    "statuses", "pipelines", "currencies", "users", "departments", "custom_fields", "process_types", "catalogs",
    "payments", "order_entities", "product_sections", "workgroups", "addresses", "openline_configs",
)  # fmt: skip


def assert_ids_equal_truth(company: Company, *, had: Mapping[str, set[tuple[str, ...]]] | None = None) -> None:
    """Living ids are the portal's, and tombstones are just the deleted ones of the rows that were here."""
    truth = company.portal.truth()
    for table in LISTED:
        expected = portal_keys(truth, table)
        assert (listed_keys(company, table) if table in WHOLE else company.keys(table)) == expected, table
        if had is not None and table not in WHOLE:
            assert company.keys(table, deleted=True) == deleted_keys(truth, table) & had[table], table


def differences(checks: Mapping[str, Check]) -> dict[str, tuple[list[str], list[str]]]:
    """By list, what is missing here and what the portal lacks."""
    return {
        name: (sorted("/".join(key) for key in check.missing), sorted("/".join(key) for key in check.extra))
        for name, check in checks.items()
        if not check.is_equal
    }


# (a) and (h)


def test_a_sync_is_proven_complete(company: Company) -> None:
    """Every list of the portal is compared, and equal; what lists a table has adds up to the table."""
    checks = company.verify()
    assert differences(checks) == {}
    truth = company.portal.truth()
    by_table: dict[str, int] = {}
    for name, check in checks.items():
        table = name.partition("/")[0]
        assert check.portal_ids == check.warehouse_ids, name
        by_table[table] = by_table.get(table, 0) + check.portal_ids
    assert by_table == {table: len(rows_of(truth, table)) for table in LISTED}
    assert_ids_equal_truth(company, had=NONE_BEFORE)


@pytest.mark.long
def test_what_came_after_the_sync_is_not_missing(company: Company) -> None:
    """A proof must not fail on every portal where people work: what is new waits for the next sync."""
    company.portal.advance(20)
    checks = company.verify()
    truth = company.portal.truth()
    grown = {table for table in LISTED if len(rows_of(truth, table)) > len(company.keys(table))}
    assert {"deals", "activities", "process_items", "payments", "order_entities"} <= grown
    # an item that changed its owner is another row of a list without ids
    assert {name: found[0] for name, found in differences(checks).items() if found[0]} == {}


# (b)


@pytest.mark.long
def test_deletions_merges_and_restores_of_a_month_are_found(company: Company) -> None:
    """Living ids are the portal's, tombstones exact, followers gone with their owners; then again a month later."""
    had = {table: company.keys(table) for table in LISTED}
    for _ in range(2):
        company.portal.advance(30, deletions=True, merges=True, restores=True)
        report = company.sync(sweep=True, details=True)
        assert report.warnings == []
        marked = sum(check.marked for check in report.checks)
        assert_ids_equal_truth(company, had=had)
        assert marked > 0
        for table in LISTED:
            had[table] |= company.keys(table)
    truth = company.portal.truth()
    assert all(truth["deleted"][table] for table in ("deals", "leads", "process_items", "requisites", "time_entries"))
    for table in ("deals", "contacts"):
        for old, new in truth["restored"][table]:
            assert (str(old),) not in company.keys(table)
            assert (str(new),) in company.keys(table) or new in truth["deleted"][table]
        assert truth["merged"][table]
    gone = company.query("select id from raw_bitrix24.deals where _deleted_at is not null")
    of_deals = (("deal_stage_history", "owner_id"), ("deal_contacts", "id"), ("product_rows", "owner_id"))
    for table, column in of_deals:
        where = "owner_type = 'D' and" if table == "product_rows" else ""
        found = company.query(f"select {column} from raw_bitrix24.{table} where {where} _deleted_at is null")
        assert gone
        assert not set(gone) & set(found), table
    assert differences(company.verify()) == {}


@pytest.mark.long
def test_history_of_an_owner_that_never_came_is_marked(company: Company) -> None:
    """A deal deleted between the reading of its history and its own leaves history without an owner."""
    assert company.query("select 1 from raw_bitrix24.deal_stage_history where owner_id = '7'")
    company.change("delete from raw_bitrix24.deals where id = '7'")
    company.portal.mutate("delete", table="deals", row_id=7)
    company.sweep()
    assert_ids_equal_truth(company)
    marked = company.query("select _deleted_at from raw_bitrix24.deal_stage_history where owner_id = '7'")
    assert all(at for (at,) in marked)


# (c)


def tamper(company: Company, table: str, changed: Mapping[str, str], where: str, loose: str) -> None:
    """Delete the row of `loose`, alter the key of the row of `where`, and add a copy of it under another key."""
    sets = ", ".join(f"{name} = '{value}'" for name, value in changed.items())
    others = ", ".join(f"'9{value}' as {name}" for name, value in changed.items())
    company.change(
        f"create temp table copied as select * from raw_bitrix24.{table} where {where}",
        f"delete from raw_bitrix24.{table} where {loose}",
        f"update raw_bitrix24.{table} set {sets} where {where}",
        f"insert into raw_bitrix24.{table} by name select {others}, * exclude ({', '.join(changed)}) from copied",
    )


def test_one_row_deleted_one_altered_one_added_are_named_and_mended(company: Company) -> None:
    """In every kind of table, with the row of the highest id among them; the list of names is exact."""
    top = max(int(key[0]) for key in company.keys("deals"))
    calls = max(int(key[0]) for key in company.keys("calls"))
    items = sorted(int(key[1]) for key in company.keys("process_items") if key[0] == "128")
    history = max(int(key[0]) for key in company.keys("lead_stage_history"))
    users = max(int(key[0]) for key in company.keys("users"))
    status = company.query(
        "select status_id from raw_bitrix24.statuses where entity_id = 'SOURCE' order by status_id limit 2"
    )
    tamper(company, "deals", {"id": "700"}, "id = '5'", f"id = '{top}'")
    tamper(company, "calls", {"id": "x5"}, "id = '5'", f"id = '{calls}'")
    tamper(company, "lead_stage_history", {"id": "99998"}, "id = '6'", f"id = '{history}'")
    tamper(company, "deal_contacts", {"id": "701"}, "id = '9'", "id = '10'")
    tamper(company, "process_items", {"id": "800"}, f"entity_type_id = '128' and id = '{items[0]}'",
           f"entity_type_id = '128' and id = '{items[-1]}'")  # fmt: skip
    tamper(company, "users", {"id": "900"}, "id = '3'", f"id = '{users}'")
    tamper(company, "statuses", {"status_id": "ODD"}, f"entity_id = 'SOURCE' and status_id = '{status[0][0]}'",
           f"entity_id = 'SOURCE' and status_id = '{status[1][0]}'")  # fmt: skip
    expected = {
        "deals": (sorted(["5", str(top)]), ["700", "9700"]),
        "calls": (sorted(["5", str(calls)]), ["9x5", "x5"]),
        "lead_stage_history": (sorted(["6", str(history)]), ["99998", "999998"]),
        "deal_contacts": (["10", "9"], ["701", "9701"]),
        "process_items/128": (sorted([str(items[0]), str(items[-1])]), ["800", "9800"]),
        "users": (sorted(["3", str(users)]), ["900", "9900"]),
        "statuses": (sorted(f"SOURCE/{one}" for (one,) in status), ["SOURCE/9ODD", "SOURCE/ODD"]),
    }
    company.portal.advance(1)  # what is new meanwhile is not among them
    assert differences(company.verify()) == expected
    healed = company.verify(healing=True)
    assert differences(healed) == {}
    assert {name: check.healed for name, check in healed.items() if check.healed} == dict.fromkeys(expected, 2)
    assert differences(company.verify()) == {}
    company.sync(sweep=False)
    assert_ids_equal_truth(company)
    assert differences(company.verify()) == {}


@pytest.mark.long
def test_a_row_that_stands_twice_is_noticed(company: Company) -> None:
    """No id is missing and none is odd, and still every sum over the table is wrong."""
    company.change("insert into raw_bitrix24.deals select * from raw_bitrix24.deals where id = '5'")
    note = company.verify()["deals"].note
    assert note.startswith("1 rows stand here more than once")
    company.sync(full=True)
    assert differences(company.verify()) == {}


# (d)


def living(company: Company) -> dict[str, set[tuple[str, ...]]]:
    return {table: company.keys(table) for table in LISTED}


def marks(company: Company) -> dict[str, set[tuple[str, ...]]]:
    found = {table: company.keys(table, deleted=True) for table in LISTED}
    return {table: keys for table, keys in found.items() if keys}


def test_too_many_at_once_are_not_marked(company: Company) -> None:
    """Half of the rows hidden is no deletion: the guard holds every list that loses more than its share."""
    before = living(company)
    company.portal.faults({"rights_cut": 0.5})
    report = company.sync(sweep=True)
    notes = {check.entity: check.note for check in report.checks if check.note}
    assert {"deals", "leads", "contacts", "activities", "calls"} - {"calls"} <= notes.keys()
    assert all("none was marked as deleted" in note and "SWEEP_GUARD_SHARE" in note for note in notes.values())
    assert {f"{name}: {note}" for name, note in notes.items()} <= set(report.warnings)
    for name in notes:
        assert company.keys(name) == before[name], name
    # few rows may always vanish: here a list of a few rows cannot tell the two apart
    assert marks(company).keys() & notes.keys() == set()
    assert company.query("select is_equal from ops.id_checks where entity = 'deals'") == [(False,)]
    company.portal.faults({})
    assert company.sweep().warnings == []
    assert_ids_equal_truth(company, had=NONE_BEFORE)


@pytest.mark.long
def test_rows_of_rights_that_come_back_live_again(company: Company) -> None:
    """Marked because nobody could tell better; seen again they and all that followed them are alive."""
    company.settings["sweep_guard_share"] = 1.0
    company.portal.faults({"rights_cut": 0.3})
    company.sweep()
    gone = marks(company)
    assert gone["deals"]
    assert gone["deal_stage_history"]
    assert gone["deal_contacts"]
    assert "calls" not in gone  # the portal removes none, so nobody looks for them
    assert company.query("select count(*) from raw_bitrix24.product_rows where _deleted_at is not null") > [(0,)]
    assert differences(company.verify()).keys() == {"calls"}
    company.portal.faults({})
    company.sweep()
    assert_ids_equal_truth(company, had=NONE_BEFORE)
    assert company.query("select count(*) from raw_bitrix24.product_rows where _deleted_at is not null") == [(0,)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ({"not_admin": True}, "is no administrator any more"),
        ({"missing_scopes": ["telephony"]}, "lost the scope telephony"),
    ],
)
def test_rights_that_were_lost_look_like_deletions(company: Company, lost: dict[str, Any], words: str) -> None:
    """Nothing is marked until somebody says that the new rights are meant; the run says so, even before rows vanish."""
    company.portal.mutate("delete", table="deals", row_id=8)
    company.portal.faults(lost)
    report = company.sweep()
    assert any(words in warning and "--accept-rights" in warning for warning in report.warnings)
    [note] = [check.note for check in report.checks if check.entity == "deals"]
    assert note.startswith("1 rows are not shown any more, none was marked as deleted: the webhook")
    assert marks(company) == {}
    assert company.verify(healing=True)["deals"].extra == [("8",)]
    assert marks(company) == {}
    report = company.sync(sweep=True, accept_rights=True)
    assert not any(words in warning for warning in report.warnings)
    assert marks(company)["deals"] == {("8",)}
    company.portal.faults({})
    assert company.sweep().warnings == []


@pytest.mark.long
def test_a_webhook_revoked_in_the_middle_marks_nothing(company: Company) -> None:
    """Whatever was compared before: the sweep is given up as a whole, and the run says so."""
    company.portal.mutate("delete", table="deals", row_id=8)
    watch = Watch("ids: ", lambda: company.portal.faults({"revoked": True}))
    report = company.sweep(reporter=watch)
    assert watch.has_acted
    assert report.checks == []
    assert any("Deletions were not looked for, and none was marked" in warning for warning in report.warnings)
    assert marks(company) == {}
    company.portal.faults({})
    assert company.sweep(forced=None).warnings == []  # it is still due
    assert marks(company)["deals"] == {("8",)}


@pytest.mark.long
@pytest.mark.parametrize("fault", [{"error_500": 1.0}, {"command_500": 1.0}, {"html_502": 1.0}])
def test_a_page_that_fails_marks_nothing(company: Company, fault: dict[str, Any]) -> None:
    """Retries come to their end; a list of which a page is missing proves nothing."""
    company.portal.mutate("delete", table="deals", row_id=8)
    watch = Watch("ids: ", lambda: company.portal.faults(fault))
    report = company.sweep(reporter=watch)
    assert watch.has_acted
    assert marks(company) == {}
    assert report.warnings
    assert not any(check.is_equal and check.entity == "deals" for check in report.checks)


# (e)


@pytest.mark.long
def test_a_row_that_was_hidden_for_a_moment_is_not_marked(company: Company) -> None:
    """A second look, by id, comes before any mark."""
    company.settings["sweep_guard_share"] = 1.0
    hide = Watch("ids: ", lambda: company.portal.faults({}))
    company.portal.faults({"rights_cut": 0.2})
    checks = company.verify(healing=True, reporter=hide)
    assert hide.has_acted
    assert marks(company) == {}
    assert differences(checks) == {}


@pytest.mark.long
def test_changes_during_the_comparison_do_no_harm(company: Company) -> None:
    """Rows come, change and go between the pages; a sync later everything is as in the portal."""
    company.portal.faults({"insert": 0.3, "update": 0.3, "delete": 0.3})
    company.sync(sweep=True)
    company.verify(healing=True)
    company.portal.faults({})
    company.portal.advance(1)
    company.sync(sweep=True)
    assert_ids_equal_truth(company)
    assert differences(company.verify()) == {}


# (f)


@pytest.mark.long
def test_lists_are_compared_when_they_are_due(tmp_path: Path) -> None:
    """Not after the first load, then once a day, by table as the settings say; the options have the last word."""
    with followed(tmp_path) as company:
        company.settings["sweep_days_by_table"] = {"activities": 3, "tasks": 0}
        assert company.sync().checks == []

        def compared(forced: bool | None = None) -> set[str]:
            return {check.entity for check in company.sweep(forced=forced).checks}

        daily = {check.entity for check in company.sync().checks}
        assert {"deals", "activities", "process_items/128", "requisites", "products/23"} <= daily
        assert "tasks" not in daily
        assert "calls" not in daily  # the portal removes none
        assert not daily & {*WHOLE, *FOLLOWERS}
        assert compared() == set()
        assert compared(forced=True) == daily | {"tasks"}
        company.portal.advance(1)
        assert compared(forced=False) == set()
        assert compared() == daily - {"activities"}
        company.portal.advance(2)
        assert compared() == daily
        company.settings["sweep_days"] = 0
        company.portal.advance(4)
        assert compared() == {"activities"}


# (g)


@pytest.mark.long
def test_the_ledger_keeps_what_was_proven(company: Company) -> None:
    """Counts and hashes of both sides by ranges of ids, as anybody can work them out again."""
    company.portal.mutate("delete", table="deals", row_id=8)
    report = company.sweep()
    company.verify()
    truth = company.portal.truth()
    rows = company.query(
        "select entity, low, high, portal_count, portal_hash, warehouse_count, warehouse_hash from ops.id_buckets"
    )
    by_entity: dict[str, list[tuple[Any, ...]]] = {}
    for entity, *bucket in rows:
        by_entity.setdefault(entity, []).append(tuple(bucket))
    for table in ("deals", "leads", "activities", "calls", "product_prices", "users", "deal_contacts"):
        ranges: dict[int, list[int]] = {}
        for (number,) in portal_keys(truth, table):
            ranges.setdefault(int(number) // BUCKET_IDS, []).append(int(number))
        expected = []
        for place, ids in sorted(ranges.items()):
            digest = hashlib.md5(",".join(map(str, sorted(ids))).encode()).hexdigest()
            expected.append((place * BUCKET_IDS, (place + 1) * BUCKET_IDS, len(ids), digest, len(ids), digest))
        assert sorted(by_entity[table]) == expected, table
    [swept] = company.query(
        "select checked_at, is_equal, portal_ids, warehouse_ids, missing, extra, marked, healed, note, requests, "
        "commands, operating_seconds from ops.id_checks where entity = 'deals' and run_id = ?",
        [report.run_id],
    )
    check = next(check for check in report.checks if check.entity == "deals")
    assert swept[0].astimezone(NOW.tzinfo) == NOW
    count = len(truth["deals"])
    assert swept[1:9] == (True, count, count, 0, 0, check.marked, 0, "")
    assert swept[9:] == (check.requests, check.commands, check.operating_seconds)
    assert check.commands > 0
    proofs = {proof.entity: proof for proof in read_status(company.path).proofs}
    assert proofs["deals"].equal_at == NOW


@pytest.mark.long
def test_status_tells_when_a_list_was_equal_last(company: Company) -> None:
    """A difference found later does not hide the proof, nor the other way round."""
    company.verify()
    company.portal.advance(1, deletions=True)
    company.verify()
    proofs = {proof.entity: proof for proof in read_status(company.path).proofs}
    assert proofs["deals"].equal_at == NOW
    assert (proofs["deals"].checked_at - NOW).days == 1


# the command


@contextmanager
def command(company: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    """`b24` in this process."""
    monkeypatch.setenv("DAGSTER_HOME", str(company.folder / "company.dagster"))
    monkeypatch.setenv("WAREHOUSE_PATH", str(company.path))
    monkeypatch.setenv("PERSONAL_DATA", "keep")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(company.folder)

    def b24(*arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("BITRIX24_WEBHOOK_URL", company.portal.webhook_url)
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.output + (str(done.exception) if done.exception else "")

    yield b24


@pytest.mark.long
def test_the_command_proves_names_and_mends(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 only for a proof; differences by name; its cost on a line of its own."""
    with command(company, monkeypatch) as b24:
        code, said = b24("verify")
        assert code == 0, said
        assert "Comparing ids took" in said
        company.change("delete from raw_bitrix24.deals where id = '5'")
        code, said = b24("verify", "--json", "found.json")
        assert code == 1
        assert "deals: missing here: 5" in said
        found = {one["entity"]: one for one in json.loads((company.folder / "found.json").read_text())}
        assert found["deals"]["missing"] == [["5"]]
        code, said = b24("verify", "--heal")
        assert code == 0, said
        assert "The warehouse is mended; `b24 sync` builds" in said
        assert b24("verify")[0] == 0
        assert "Proven complete" in b24("status")[1]


@pytest.mark.long
def test_nothing_is_proven_of_what_was_not_read(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that a killed first load left halfway must not count as equal; one that the portal refuses is told."""
    company.portal.faults({"missing_scopes": ["telephony"]})
    company.change(
        "update ops.positions set is_complete = false, segments_left = '[[40, 60], [60, null]]' where entity = 'deals'"
    )
    checks = company.verify()
    assert checks["deals"].note == "not read to its end yet: run `b24 sync`"
    assert not checks["deals"].is_refused
    assert "refuses" in checks["calls"].note  # its rows are here, so they are not proven
    assert not checks["calls"].is_refused
    with command(company, monkeypatch) as b24:
        assert b24("verify")[0] == 1


@pytest.mark.long
def test_a_list_that_was_never_shown_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal without telephony is proven complete all the same."""
    with followed(tmp_path, deals=20) as company, command(company, monkeypatch) as b24:
        company.portal.faults({"missing_scopes": ["telephony", "catalog"]})
        company.sync()
        checks = company.verify()
        assert {name for name, check in checks.items() if not check.is_equal} == {"calls", "product_prices", "catalogs"}
        code, said = b24("verify")
        assert code == 0, said


@pytest.mark.long
def test_verify_before_any_sync_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing that a sync would stumble over."""
    with followed(tmp_path, deals=20) as company, command(company, monkeypatch) as b24:
        code, said = b24("verify")
        assert code == 1
        assert "holds no run yet. Run `b24 sync` first" in said
        company.sync()
        assert differences(company.verify()) == {}


@pytest.mark.long
def test_verify_waits_for_no_running_sync(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers would corrupt each other's view; the message names the other."""
    monkeypatch.setattr("orchestration.run.LOCK_WAIT_S", 0.1)
    with WarehouseLock(company.path, "b24 sync"), command(company, monkeypatch) as b24:
        code, said = b24("verify")
        assert code == 1
        assert "in use by `b24 sync`" in said


@pytest.mark.long
def test_a_sync_of_the_next_day_looks_for_deletions_by_itself(two_days: TwoDays) -> None:
    """Through the command: the first load is not followed by a comparison, the second sync is, on a line of its own."""
    assert two_days.first.summary["checks"] == []
    checks = {check["entity"]: check for check in two_days.second.summary["checks"]}
    assert {"deals", "leads", "activities", "process_items/128"} <= checks.keys()
    assert all(not (check["note"] or check["missing"] or check["extra"]) for check in checks.values())
    screen = next(screen for screen in two_days.rehearsal.screens if "deletions found, rows read again" in screen)
    assert "not looked for" in screen
