"""Raw tables against the ground truth of the stand-in portal, over real HTTP."""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from demo.server.core import PortalOptions
from demo.server.running import PortalControl, running_portal
from demo.world import World
from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.details import DETAILS, Detail, Moment, Owner, OwnerRead, load_details
from dlt_sources.bitrix24.errors import AccessError
from dlt_sources.bitrix24.load import EntityReport, Position, load_portal, make_pipeline
from dlt_sources.bitrix24.preflight import inspect
from dlt_sources.bitrix24.webhook import Webhook

# an activity and a deadline that passes move no time of change: these may be as old as the row's last change
MOVE_ALONE = (*schema.LAST_ACTIVITY, "sub_status")
NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
NOT_READ = {
    "currency_rates", "custom_field_options", "product_rows",  # compared apart
    "task_history", "openline_sessions", "calendar_events", "work_time_records",  # read per owner, see test_details
}  # fmt: skip
ROWS_OF_DEALS = next(detail for detail in DETAILS if (detail.table, detail.owners) == ("product_rows", "deals"))
# one row per owner with the ids of all it is linked to: owners, key of the owner, key of the other
LINKS = {
    "deal_contacts": ("deals", "DEAL_ID", "CONTACT_ID"),
    "contact_companies": ("contacts", "CONTACT_ID", "COMPANY_ID"),
}


class HurriedClock:
    """The client's clock: waiting costs no time here, because these portals keep no limits."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


class Warehouse:
    """A warehouse file that follows one portal; `crash_at` stops a run after that many packages."""

    def __init__(self, folder: Path, portal: PortalControl) -> None:
        self.folder, self.path, self.portal = folder, folder / "bitrix24.duckdb", portal
        self.kept: dict[str, Position] = {}
        self.read: dict[int, str] = {}  # deals whose product rows were read, and as of which version
        self.saves = 0
        self.crash_at: int | None = None
        self.requests = 0

    def positions(self) -> Mapping[str, Position]:
        return dict(self.kept)

    def save(self, positions: Mapping[str, Position], reports: Sequence[EntityReport]) -> None:
        self.kept.update(positions)
        self.saves += 1
        if self.saves == self.crash_at:
            raise KeyboardInterrupt

    def sync(self, **options: Any) -> dict[str, EntityReport]:
        """Load everything, product rows of deals that changed included."""
        hurried = HurriedClock()
        webhook = Webhook.parse(self.portal.webhook_url)
        with BitrixClient(webhook, clock=hurried, sleep=hurried.sleep) as client:
            facts = inspect(client)
            pipeline = make_pipeline(self.path, self.folder / "bitrix24.dlt")
            reports = load_portal(
                client, pipeline, self, as_of=facts.as_of, reporting_tz="Europe/Moscow", progress=_silent,
                max_ids=facts.max_ids, **options,
            )  # fmt: skip
            reports += load_details(
                client, pipeline, self, moment=Moment.of(facts.as_of, "Europe/Moscow"), progress=_silent,
                limits={"product_rows": 10_000}, details=[ROWS_OF_DEALS],
            )  # fmt: skip
            self.requests = client.usage.requests
        return {report.entity: report for report in reports}

    def owners_to_read(self, detail: Detail, moment: Moment, limit: int) -> list[Owner]:
        """Deals whose product rows are not those of their present version."""
        deals = self.rows("select id, date_modify from raw_bitrix24.deals")
        return [Owner("D", int(deal), version) for deal, version in deals if self.read.get(int(deal)) != version]

    def save_owners(self, table: str, moment: Moment, owners: Sequence[OwnerRead]) -> None:
        self.read.update({one.owner.id: one.owner.version for one in owners if not one.refusal})

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def table(self, table: str) -> dict[tuple[str, ...], dict[str, str | None]]:
        with duckdb.connect(str(self.path)) as connection:
            cursor = connection.execute(f"select * from raw_bitrix24.{table} where _deleted_at is null")
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
        keyed = {tuple(str(row[name]) for name in schema.KEYS[table]): row for row in found}
        assert len(keyed) == len(found), f"{table} repeats a key"
        return keyed


def _silent(entity: str, rows: int, share: float | None) -> None:
    assert share is None or 0 <= share <= 1


@contextmanager
def followed(folder: Path, *, deals: int = 60, seed: int = 5, **options: Any) -> Iterator[Warehouse]:
    settings = {"limits": False, "frozen": True, **options}
    with running_portal(World.generate(seed, deals, NOW), PortalOptions(seed=seed, **settings)) as portal:
        yield Warehouse(folder, portal)


def plain(name: str) -> str:
    """`dateModify`, `DATE_MODIFY` and `date_modify` are one name."""
    return name.replace("_", "").lower()


def matches(raw: str | None, truth: Any) -> bool:
    """Whether a raw text is what the portal's value looks like on the wire."""
    if truth is None or raw is None:
        return truth is raw
    if isinstance(truth, str):
        return raw == truth.replace("\0", "")
    return bool(json.loads(raw) == truth)


def matches_all(raw: str | None, truth: Mapping[str, Any]) -> bool:
    """Whether one column holds just the custom fields of a row, each as a text."""
    codes = {code: value for code, value in truth.items() if code.startswith("UF_")}
    texts = json.loads(raw or "{}")
    return texts.keys() == codes.keys() and all(matches(texts[code], value) for code, value in codes.items())


def rows_of(truth: Mapping[str, Any], table: str) -> list[dict[str, Any]]:
    """The rows of a raw table, as the portal has them."""
    if table not in LINKS:
        rows: list[dict[str, Any]] = truth[table]
        return rows
    owners, owner_key, other_key = LINKS[table]
    others: dict[str, list[int]] = {}
    for link in truth[table]:
        others.setdefault(str(link[owner_key]), []).append(link[other_key])
    name = other_key.lower() + "s"
    return [
        {"id": row["ID"], name: others.get(row["ID"], []), "updated_time": row["DATE_MODIFY"]} for row in truth[owners]
    ]


def key_of(table: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row's key as the raw table has it."""
    by_name = {plain(name): value for name, value in row.items()}
    return tuple(str(by_name[plain(name)]) for name in schema.KEYS[table])


def assert_equal_to_truth(warehouse: Warehouse, *, but_for: Collection[str] = ()) -> None:
    truth = warehouse.portal.truth()
    assert_lists_equal_truth(warehouse, truth, but_for=but_for)
    assert_options_equal_truth(warehouse, truth)
    assert_product_rows_equal_truth(warehouse, truth)


def assert_lists_equal_truth(
    warehouse: Warehouse,
    truth: Mapping[str, Any],
    *,
    but_for: Collection[str] = (),
    tables: Collection[str] = schema.TABLES.keys() - NOT_READ,
    alike: Callable[[str | None, Any], bool] = matches,
) -> None:
    """Every living row of every table, and every value."""
    for table in tables:
        rows = rows_of(truth, table)
        assert rows, table
        expected = {key_of(table, row): row for row in rows}
        found = warehouse.table(table)
        assert found.keys() == expected.keys(), table
        custom = {key.lower() for row in rows for key in row if key.startswith("UF_")}
        columns = set(schema.TABLES[table]) | (custom if table in schema.WITH_CUSTOM_FIELDS else set())
        for key, row in found.items():
            by_name = {plain(name): value for name, value in expected[key].items()}
            differing = {
                name: (row[name], by_name.get(plain(name)))
                for name in columns - {"custom_fields", *but_for}
                if not alike(row[name], by_name.get(plain(name)))
            }
            if "custom_fields" in columns and not matches_all(row["custom_fields"], expected[key]):
                differing["custom_fields"] = (row["custom_fields"], None)
            assert not differing, (table, key, differing)


def assert_options_equal_truth(warehouse: Warehouse, truth: Mapping[str, Any]) -> None:
    expected = {
        (field["ENTITY_ID"], field["FIELD_NAME"], option["ID"]): option["VALUE"]
        for field in truth["custom_fields"]
        for option in field.get("LIST", [])  # those of items are read per field
    }
    assert expected
    assert {key: row["value"] for key, row in warehouse.table("custom_field_options").items()} == expected


def assert_product_rows_equal_truth(warehouse: Warehouse, truth: Mapping[str, Any]) -> None:
    fields = {"id": "id", "product_name": "productName", "price": "price", "quantity": "quantity", "sort": "sort"}
    expected = {
        (str(row["ownerId"]), str(row["id"])): {name: row[key] for name, key in fields.items()}
        for row in truth["deal_product_rows"]
    }
    assert warehouse.read == {int(row["ID"]): row["DATE_MODIFY"] for row in truth["deals"]}
    found = warehouse.rows(f"select owner_id, {', '.join(fields)} from raw_bitrix24.product_rows")
    with_rows = {(owner, values[0]): values for owner, *values in found if values[0] is not None}
    assert with_rows.keys() == expected.keys()
    for key, values in with_rows.items():
        for name, value in zip(fields, values, strict=True):
            assert matches(value, expected[key][name]), (key, name, value)
    owners_with_rows = {owner for owner, _ in expected}
    empty = [owner for owner, number, *_ in found if number is None]
    assert sorted(empty) == sorted({row["ID"] for row in truth["deals"]} - owners_with_rows)


def test_raw_tables_equal_the_portal_and_follow_it(tmp_path: Path) -> None:
    """Every row and value of every table, after a first load and after days of work; the later runs are cheap."""
    with followed(tmp_path, deals=150) as warehouse:
        first = warehouse.sync()
        assert_equal_to_truth(warehouse)
        assert {name: report.note for name, report in first.items() if report.note} == {}
        read = {name: report for name, report in first.items() if name != "product_rows"}
        assert all(report.rows_new == report.rows_read and report.rows_changed == 0 for report in read.values())

        secret = warehouse.portal.webhook_url.split("/")[-2].encode()
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any(path.name == "trace.pickle" for path in written)
        assert [path.name for path in written if secret in path.read_bytes()] == []

        before = {table: warehouse.table(table) for table in ("deals", "leads", "activities", "tasks")}
        warehouse.portal.advance(2)
        warehouse.portal.reset_stats()
        second = warehouse.sync()
        assert_equal_to_truth(warehouse, but_for=MOVE_ALONE)
        assert warehouse.portal.stats()["requests"] == warehouse.requests <= 4
        for table, old in before.items():
            now = warehouse.table(table)
            ignored = {"_loaded_at"}
            changed = [
                key for key in old
                if {k: v for k, v in now[key].items() if k not in ignored}
                != {k: v for k, v in old[key].items() if k not in ignored}
            ]  # fmt: skip
            assert second[table].rows_new == len(now.keys() - old.keys()), table
            assert second[table].rows_changed == len(changed) > 0, table


@pytest.mark.parametrize("packages", [1, 2])
def test_a_stopped_run_is_finished_by_the_next(tmp_path: Path, packages: int) -> None:
    """Stopped between packages of the first load; the world goes on meanwhile."""
    with followed(tmp_path) as warehouse:
        warehouse.crash_at = packages
        with pytest.raises(KeyboardInterrupt):
            warehouse.sync(package_rows=150)
        warehouse.crash_at = None
        warehouse.portal.advance(1)
        warehouse.sync(package_rows=150)
        assert_equal_to_truth(warehouse, but_for=MOVE_ALONE)


def test_faults_of_the_portal_leave_no_gap(tmp_path: Path) -> None:
    """Refusals, broken pages, cut connections and blocked methods at once."""
    plan = {"limit_503": 0.08, "limit_429": 0.08, "error_500": 0.05, "html_502": 0.05, "html_200": 0.03}
    plan |= {"reset": 0.05, "truncate": 0.05}
    with followed(tmp_path) as warehouse:
        warehouse.portal.faults(plan)
        warehouse.sync()
        warehouse.portal.faults({})
        assert_equal_to_truth(warehouse)


def test_rows_that_change_while_they_are_read_are_caught_by_the_next_run(tmp_path: Path) -> None:
    """New and changed rows between two requests: the watermark is the start of the run, so none falls between."""
    with followed(tmp_path, frozen=False) as warehouse:
        warehouse.portal.faults({"insert": 0.4, "update": 0.6})
        warehouse.sync()
        warehouse.portal.faults({})
        warehouse.sync()
        assert_equal_to_truth(warehouse)


def test_since_first_and_the_rest_later(tmp_path: Path) -> None:
    """Recent rows come first, and the plain run after it completes the history."""
    with followed(tmp_path) as warehouse:
        since = datetime.fromisoformat("2026-05-01T00:00:00+03:00")
        warehouse.sync(since=since)
        modified = [datetime.fromisoformat(row["date_modify"] or "") for row in warehouse.table("deals").values()]
        truth = [datetime.fromisoformat(row["DATE_MODIFY"]) for row in warehouse.portal.truth()["deals"]]
        assert sorted(modified) == sorted(moment for moment in truth if moment >= since)
        assert 0 < len(modified) < len(truth)
        warehouse.sync()
        assert_equal_to_truth(warehouse)


def test_a_missing_scope_costs_only_its_tables(tmp_path: Path) -> None:
    """Calls and tasks stay empty with a note; when the scopes come, so do their rows."""
    with followed(tmp_path) as warehouse:
        warehouse.portal.faults({"missing_scopes": ["telephony", "task"]})
        reports = warehouse.sync()
        assert {name for name, report in reports.items() if report.note} == {"calls", "tasks", "time_entries"}
        assert warehouse.table("calls") == {}
        warehouse.portal.faults({})
        warehouse.sync()
        assert_equal_to_truth(warehouse)


def test_a_revoked_webhook_ends_the_run_at_once(tmp_path: Path) -> None:
    """One clear error, nothing retried."""
    with followed(tmp_path, deals=30) as warehouse:
        warehouse.portal.faults({"revoked": True})
        with pytest.raises(AccessError):
            warehouse.sync()
        assert warehouse.portal.stats()["requests"] == 1


def test_a_method_whose_time_is_used_up_is_read_to_its_end(tmp_path: Path) -> None:
    """A budget that one table exceeds: its method is refused until a reset, and in the end nothing is missing."""
    limits = {"limits": True, "frozen": False, "rate": 1000.0, "burst": 1000.0}
    with followed(tmp_path, deals=60, operating_budget=0.1, operating_window=2.0, **limits) as warehouse:
        webhook = Webhook.parse(warehouse.portal.webhook_url)
        with BitrixClient(webhook, share=1) as client:
            reports = load_portal(
                client,
                make_pipeline(warehouse.path, tmp_path / "bitrix24.dlt"),
                warehouse,
                as_of=NOW,
                reporting_tz="Europe/Moscow",
                progress=_silent,
            )
            client_refusals = client.usage.refusals
        assert client_refusals == sum(report.refusals for report in reports) > 0
        truth = warehouse.portal.truth()
        assert {int(row["ID"]) for row in truth["deals"]} == {int(key[0]) for key in warehouse.table("deals")}
        assert {row["ID"] for row in truth["activities"]} == {key[0] for key in warehouse.table("activities")}
