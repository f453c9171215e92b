"""What is read owner by owner, against the ground truth of the stand-in portal, over real HTTP."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from demo.server.core import PortalOptions
from demo.server.running import PortalControl, running_portal
from demo.world import World
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.details import DETAILS, TABLES, Moment, load_details
from dlt_sources.bitrix24.load import EntityReport, load_portal, make_pipeline
from dlt_sources.bitrix24.preflight import inspect
from dlt_sources.bitrix24.webhook import Webhook
from warehouse.ledger import Ledger

pytestmark = pytest.mark.long  # whole syncs: some minutes


NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
ZONE = "Europe/Moscow"
AHEAD_S = timedelta(days=90).total_seconds()
Rows = dict[tuple[str, ...], dict[str, Any]]


class HurriedClock:
    """The client's clock: waiting costs no time here, because these portals keep no limits."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


class Warehouse:
    """A warehouse file that follows one portal."""

    def __init__(self, folder: Path, portal: PortalControl) -> None:
        self.folder, self.path, self.portal = folder, folder / "bitrix24.duckdb", portal
        self.ledger = Ledger(self.path)
        self.runs = 0

    def sync(self, *, per_run: int = 100_000, **options: Any) -> dict[str, EntityReport]:
        """Load everything and return what came owner by owner."""
        hurried = HurriedClock()
        self.runs += 1
        with BitrixClient(Webhook.parse(self.portal.webhook_url), clock=hurried, sleep=hurried.sleep) as client:
            facts = inspect(client)
            moment = Moment.of(facts.as_of, ZONE)
            self.ledger.start_run(f"run {self.runs}", facts.as_of)
            pipeline = make_pipeline(self.path, self.folder / "bitrix24.dlt")
            load_portal(
                client, pipeline, self.ledger, as_of=facts.as_of, reporting_tz=ZONE, progress=lambda *_: None,
                max_ids=facts.max_ids,
            )  # fmt: skip
            reports = load_details(
                client, pipeline, self.ledger, moment=moment, limits=dict.fromkeys(TABLES, per_run),
                progress=lambda *_: None, **options,
            )  # fmt: skip
            self.left = self.ledger.save_coverage(DETAILS, moment)
        return {report.entity: report for report in reports}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def table(self, table: str, *key: str, where: str = "_deleted_at is null") -> Rows:
        """Rows by some columns, which must tell them apart."""
        with duckdb.connect(str(self.path)) as connection:
            cursor = connection.execute(f"select * from raw_bitrix24.{table} where {where}")
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
        keyed = {tuple(row[name] for name in key): row for row in found}
        assert len(keyed) == len(found), f"{table} repeats a key"
        return keyed


@contextmanager
def followed(folder: Path, *, deals: int = 60, seed: int = 5, **options: Any) -> Iterator[Warehouse]:
    settings = {"limits": False, "frozen": True, **options}
    with running_portal(World.generate(seed, deals, NOW), PortalOptions(seed=seed, **settings)) as portal:
        yield Warehouse(folder, portal)


def text(value: Any) -> str | None:
    """A value of the portal as raw text."""
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def keyed(rows: list[dict[str, Any]], *key: str) -> Rows:
    return {tuple(str(row[name]) for name in key): row for row in rows}


def assert_same(table: str, found: Rows, expected: Rows) -> None:
    assert expected
    assert found.keys() == expected.keys(), table
    for key, row in expected.items():
        differing = {name: (found[key][name], value) for name, value in row.items() if found[key][name] != text(value)}
        assert not differing, (table, key, differing)


def product_rows(truth: Mapping[str, Any]) -> Rows:
    names = {
        "product_id": "productId", "product_name": "productName", "price": "price", "quantity": "quantity",
        "discount_sum": "discountSum", "tax_included": "taxIncluded", "measure_name": "measureName", "sort": "sort",
    }  # fmt: skip
    return {
        (row["ownerType"], str(row["ownerId"]), str(row["id"])): {
            name: row[key].replace("\0", "") if isinstance(row[key], str) else row[key] for name, key in names.items()
        }
        for row in truth["deal_product_rows"] + truth["product_rows"]
    }


def owners_of_product_rows(truth: Mapping[str, Any]) -> set[tuple[str, str]]:
    linked = {row["entityTypeId"] for row in truth["process_types"] if row["isLinkWithProductsEnabled"] == "Y"}
    assert linked
    return {
        *(("D", row["ID"]) for row in truth["deals"]),
        *(("L", row["ID"]) for row in truth["leads"]),
        *(("Q", row["ID"]) for row in truth["quotes"]),
        *(("SI", str(row["id"])) for row in truth["smart_invoices"]),
        *(
            (f"T{row['entityTypeId']:x}", str(row["id"]))
            for row in truth["process_items"]
            if row["entityTypeId"] in linked
        ),
    }


def task_changes(truth: Mapping[str, Any]) -> Rows:
    return {
        (str(row["taskId"]), str(row["id"])): {
            "created_date": row["createdDate"], "field": row["field"], "user_id": row["user"]["id"],
            "value_from": row["value"]["from"], "value_to": row["value"]["to"],
        }
        for row in truth["task_history"]
    }  # fmt: skip


def chat_messages(truth: Mapping[str, Any]) -> Rows:
    activities = {
        row["ASSOCIATED_ENTITY_ID"]: row["ID"]
        for row in truth["activities"]
        if row["PROVIDER_ID"] == "IMOPENLINES_SESSION"
    }
    expected: Rows = {}
    for session in truth["openline_sessions"]:
        number = str(session["sessionId"])
        if number not in activities:
            continue
        for message in session["message"].values():
            sender = message["senderid"]
            user = session["users"].get(sender)
            expected[(number, message["id"])] = {
                "chat_id": message["chatid"],
                "activity_id": activities[number],
                "sender_id": sender,
                "is_client": False if sender == "0" else user["connector"] if user else None,
                "is_bot": user["bot"] if user else None,
                "sent_at": message["date"],
            }
    return expected


def occurrences(truth: Mapping[str, Any]) -> Rows:
    """Occurrences that the last window reaches; all that were ever in one are kept."""
    names = {
        "parent_id": "PARENT_ID", "cal_type": "CAL_TYPE", "owner_id": "OWNER_ID", "created_by": "CREATED_BY",
        "meeting_host": "MEETING_HOST", "date_to_ts_utc": "DATE_TO_TS_UTC", "dt_length": "DT_LENGTH",
        "is_meeting": "IS_MEETING", "uf_crm_cal_event": "UF_CRM_CAL_EVENT", "dt_skip_time": "DT_SKIP_TIME",
    }  # fmt: skip
    today = datetime.fromisoformat(truth["meta"]["now"]).replace(hour=0, minute=0, second=0)
    last = today.timestamp() + AHEAD_S + 86_400  # the last day belongs to the window
    rows = [row for row in truth["calendar_events"] if int(row["DATE_FROM_TS_UTC"]) < last]
    assert 0 < len(rows) < len(truth["calendar_events"])
    return {(row["ID"], row["DATE_FROM_TS_UTC"]): {name: row[key] for name, key in names.items()} for row in rows}


def days_of_work(truth: Mapping[str, Any]) -> Rows:
    names = {
        "user_id": "userId", "start_time": "startTime", "end_time": "endTime", "duration": "duration",
        "break_length": "breakLength", "state": "state", "is_approved": "isApproved",
    }  # fmt: skip
    return {(str(row["id"]),): {name: row[key] for name, key in names.items()} for row in truth["work_time_records"]}


def options(truth: Mapping[str, Any]) -> Rows:
    return {
        (field["ENTITY_ID"], field["FIELD_NAME"], str(option["ID"])): {"value": option["VALUE"], "sort": option["SORT"]}
        for field in truth["custom_fields"]
        for option in field.get("LIST") or field.get("ENUM") or ()
    }


def assert_details_equal_truth(warehouse: Warehouse) -> None:
    truth = warehouse.portal.truth()
    living = "_deleted_at is null and id is not null"
    found = warehouse.table("product_rows", "owner_type", "owner_id", "id", where=living)
    assert_same("product_rows", found, product_rows(truth))
    owners = warehouse.query(
        "select distinct owner_type, owner_id from raw_bitrix24.product_rows where _deleted_at is null"
    )
    assert set(owners) == owners_of_product_rows(truth)
    assert_same("task_history", warehouse.table("task_history", "task_id", "id"), task_changes(truth))
    assert_same(
        "openline_sessions", warehouse.table("openline_sessions", "session_id", "message_id"), chat_messages(truth)
    )
    assert_same("calendar_events", warehouse.table("calendar_events", "id", "date_from_ts_utc"), occurrences(truth))
    assert_same("work_time_records", warehouse.table("work_time_records", "id"), days_of_work(truth))
    fields = warehouse.table("custom_field_options", "entity_id", "field_name", "id")
    assert_same("custom_field_options", fields, options(truth))
    assert {entity for entity, *_ in fields} >= {"CRM_SMART_INVOICE", "CRM_2", "CRM_DEAL"}


def test_every_detail_equals_the_portal_and_follows_it(tmp_path: Path) -> None:
    """Every row and value, after a first load and after days of work; who did not change is not asked again."""
    with followed(tmp_path, deals=150) as warehouse:
        first = warehouse.sync()
        assert {name: report.note for name, report in first.items() if report.note} == {}
        # an occurrence that begins on the last day of a window comes with the next one, too
        counted = {name: report for name, report in first.items() if name != "calendar_events"}
        assert all(report.rows_new == report.rows_read > 0 for report in counted.values())
        assert_details_equal_truth(warehouse)
        assert set(warehouse.left.values()) == {0}

        again = warehouse.sync()
        assert {name: report.commands for name, report in again.items() if report.commands} == {}

        warehouse.portal.advance(3)
        warehouse.portal.reset_stats()
        later = warehouse.sync()
        assert_details_equal_truth(warehouse)
        commands = warehouse.portal.stats()["commands"]
        assert commands["tasks.task.history.list"] < first["task_history"].commands / 2
        assert later["product_rows"].commands < first["product_rows"].commands / 2
        # one window a day of each calendar
        users = len(warehouse.portal.truth()["users"])
        assert later["calendar_events"].commands <= users + 1 < first["calendar_events"].commands
        assert later["work_time_records"].rows_changed > 0


def test_no_text_and_no_name_of_a_chat_reaches_the_disk(tmp_path: Path) -> None:
    """Messages are the most personal thing that a portal has."""
    with followed(tmp_path) as warehouse:
        texts = {
            message["text"]
            for session in warehouse.portal.truth()["openline_sessions"]
            for message in session["message"].values()
        }
        warehouse.sync()
        assert warehouse.query("select 1 from raw_bitrix24.openline_sessions")
        written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert not [text for text in texts if len(text) > 12 and any(text.encode() in data for data in written)]


def test_a_bounded_run_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    """A portal of a million deals is read over many runs; each goes on where the last one ended."""
    with followed(tmp_path, deals=20) as warehouse:
        runs = 0
        while not runs or any(warehouse.left.values()):
            reports = warehouse.sync(per_run=25, package_owners=50)
            runs += 1
            assert reports["work_time_records"].commands <= 25
            assert runs < 10
        assert runs > 2
        assert_details_equal_truth(warehouse)


def test_faults_of_the_portal_leave_no_gap(tmp_path: Path) -> None:
    """Refusals, broken pages, cut connections and blocked methods at once, REST 3.0 included."""
    plan = {"limit_503": 0.08, "limit_429": 0.05, "error_500": 0.05, "html_502": 0.05, "html_200": 0.03}
    plan |= {"reset": 0.05, "truncate": 0.05}
    with followed(tmp_path, deals=30) as warehouse:
        warehouse.portal.faults(plan)
        reports = warehouse.sync()
        assert {name: report.note for name, report in reports.items() if report.note} == {}
        warehouse.portal.faults({})
        assert_details_equal_truth(warehouse)


def test_a_missing_scope_costs_only_its_detail(tmp_path: Path) -> None:
    """Work time and calendars stay empty with a note; when the scopes come, so do their rows."""
    with followed(tmp_path, deals=30) as warehouse:
        warehouse.portal.faults({"missing_scopes": ["timeman", "calendar", "imopenlines"]})
        reports = warehouse.sync()
        refused = {"work_time_records", "calendar_events", "openline_sessions"}
        assert {name for name, report in reports.items() if report.note} == refused
        assert all("insufficient_scope" in reports[name].note for name in refused)
        assert max(reports[name].requests for name in refused) <= 4  # not one for each user
        assert warehouse.table("calendar_events", "id") == {}
        warehouse.portal.faults({})
        warehouse.sync()
        assert_details_equal_truth(warehouse)


def test_others_days_are_closed_to_a_user_without_rights(tmp_path: Path) -> None:
    """Each other user is refused by himself; the webhook's owner still reads his own days."""
    with followed(tmp_path, deals=20) as warehouse:
        warehouse.portal.faults({"not_admin": True})
        report = warehouse.sync()["work_time_records"]
        assert "ACCESSDENIED" in report.note
        user = warehouse.portal.webhook_url.split("/")[-3]
        truth = [row for row in warehouse.portal.truth()["work_time_records"] if str(row["userId"]) == user]
        assert len(warehouse.table("work_time_records", "id")) == len(truth)
