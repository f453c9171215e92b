"""Lists that are read owner by owner: who is asked, in what order, how often, and what takes the place of what."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bitrix24_double import PortalDouble, Refusal, parse

from dlt_sources.bitrix24 import details, schema
from dlt_sources.bitrix24.details import DETAILS, TABLES, Moment, details_followers, load_details
from dlt_sources.bitrix24.errors import AccessError, Kind, classify
from dlt_sources.bitrix24.load import EntityReport, make_pipeline
from warehouse.ledger import Ledger

FIRST = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = "2026-01-10T12:00:00+03:00"
LATER = "2026-06-15T12:00:00+03:00"


class Warehouse:
    """A portal, a warehouse file and its ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bitrix24.duckdb"
        self.portal, self.ledger = PortalDouble(), Ledger(folder / "bitrix24.duckdb")
        for detail in DETAILS:
            self.portal.handlers[detail.method] = lambda _: {}
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("create schema raw_bitrix24")
            for table, columns in schema.TABLES.items():
                declared = ", ".join(f'"{name}" varchar' for name in (*columns, *schema.OURS))
                connection.execute(f"create table raw_bitrix24.{table} ({declared})")

    def put(self, table: str, rows: Sequence[Mapping[str, Any]], as_of: datetime = FIRST) -> None:
        """Rows of owners as the lists have loaded them."""
        with duckdb.connect(str(self.path)) as connection:
            for row in rows:
                key = {name: row[name] for name in schema.KEYS[table]}
                where = " and ".join(f"{name} = ?" for name in key)
                connection.execute(f"delete from raw_bitrix24.{table} where {where}", list(key.values()))
                values = {**row, "_loaded_at": as_of.isoformat()}
                marks = ", ".join("?" for _ in values)
                connection.execute(
                    f"insert into raw_bitrix24.{table} ({', '.join(values)}) values ({marks})", list(values.values())
                )

    def read(self, *tables: str, as_of: datetime = FIRST, per_run: int = 10_000, **given: Any) -> Any:
        """Read some tables owner by owner; returns the report of the first one."""
        self.portal.batches.clear()
        self.portal.urls.clear()
        moment = Moment.of(as_of, "Europe/Moscow")
        options = {"progress": lambda *_: None, **given}
        reports = load_details(
            self.portal.client(), make_pipeline(self.path, self.folder / "dlt"), self.ledger, moment=moment,
            limits=dict.fromkeys(TABLES, per_run), details=[one for one in DETAILS if one.table in tables], **options,
        )  # fmt: skip
        self.left = self.ledger.save_coverage(DETAILS, moment)
        return reports[0]

    def put_deals(self, ids: Sequence[int], modified: str = OLD, **values: Any) -> None:
        self.put("deals", [{"id": str(number), "date_modify": modified, **values} for number in ids])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def asked(self, *path: str) -> list[str]:
        """What was asked for in batches, in order: one parameter of each command."""
        found = []
        for command in (line for batch in self.portal.batches for line in batch.values()):
            value: Any = parse(command.partition("?")[2])
            for step in path:
                value = value[step]
            found.append(value)
        return found


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    return Warehouse(tmp_path)


def with_product_rows(warehouse: Warehouse, rows: Mapping[tuple[str, int], Sequence[int]]) -> None:
    def answer(params: dict[str, Any]) -> Any:
        where = params["filter"]
        owner = (where["=ownerType"], int(where["=ownerId"]))
        if not isinstance(where[">id"], str):  # a reference to a page that was short
            raise Refusal("INVALID_ARG_VALUE", "Invalid value {list} to match with parameter {filter}")
        after = int(where[">id"])
        ids = [number for number in sorted(rows.get(owner, ())) if number > after][:50]
        return {
            "productRows": [
                {"id": number, "ownerId": owner[1], "ownerType": owner[0], "productName": "Насос", "price": 833.33}
                for number in ids
            ]
        }

    warehouse.portal.handlers["crm.item.productrow.list"] = answer


def refuse(code: str) -> Any:
    def answer(_: dict[str, Any]) -> Any:
        raise Refusal(code, "no")

    return answer


# declarations


@pytest.mark.parametrize("detail", DETAILS, ids=lambda detail: f"{detail.table} of {detail.owners} {detail.type}")
def test_a_detail_fits_its_raw_tables(detail: details.Detail) -> None:
    """A column that is not declared would be thrown away, or an owner never found again."""
    columns = schema.TABLES[detail.table]
    assert set(detail.given) <= set(columns)
    assert not detail.follows or detail.follows in columns
    assert detail.owners in schema.TABLES
    assert set(schema.REPLACED.get(detail.table, ())) <= set(detail.given)
    assert bool(detail.window) == (detail.table in ("calendar_events", "work_time_records"))
    assert detail.key == "" or not detail.make


def test_rows_vanish_with_their_owners() -> None:
    """Rows of a deleted deal would be counted for ever."""
    assert details_followers("deals", {}) == [("product_rows", "owner_id", {"owner_type": "D"})]
    assert details_followers("process_items", {"entity_type_id": "177"}) == [
        ("product_rows", "owner_id", {"owner_type": "Tb1"})
    ]
    assert details_followers("tasks", {}) == [("task_history", "task_id", {})]
    assert details_followers("activities", {}) == [("openline_sessions", "activity_id", {})]
    assert details_followers("users", {}) == []


# replacement


def test_product_rows_are_replaced_per_deal(warehouse: Warehouse) -> None:
    """Rows that were removed from a deal go, other deals keep theirs, an empty deal leaves its mark."""
    rows = {("D", 1): [10, 11], ("D", 2): [20], ("D", 3): []}
    with_product_rows(warehouse, rows)
    warehouse.put_deals([1, 2, 3])
    first = warehouse.read("product_rows")
    assert (first.rows_read, first.rows_new, first.requests, first.commands) == (3, 3, 1, 3)

    rows[("D", 1)], rows[("D", 2)], rows[("D", 3)] = [11, 12], [], [30]
    warehouse.put_deals([1], LATER)
    second = warehouse.read("product_rows")
    assert (second.rows_read, second.rows_new, second.rows_changed) == (2, 1, 0)
    found = "select owner_type, owner_id, id, price from raw_bitrix24.product_rows order by owner_id, id"
    assert warehouse.query(found) == [
        ("D", "1", "11", "833.33"),
        ("D", "1", "12", "833.33"),
        ("D", "2", "20", "833.33"),
        ("D", "3", None, None),
    ]
    warehouse.put_deals([2, 3], LATER)
    warehouse.read("product_rows")
    assert warehouse.query(found)[2:] == [("D", "2", None, None), ("D", "3", "30", "833.33")]


def test_a_deal_with_more_than_fifty_product_rows_is_read_whole(warehouse: Warehouse) -> None:
    """The second page is a command of its own."""
    with_product_rows(warehouse, {("D", 1): range(1, 131), ("D", 2): [500]})
    warehouse.put_deals([1, 2])
    assert warehouse.read("product_rows").rows_new == 131
    assert warehouse.query("select count(*) from raw_bitrix24.product_rows where owner_id = '1'") == [(130,)]


def test_owners_of_different_types_share_ids_and_nothing_else(warehouse: Warehouse) -> None:
    """Deal 7, lead 7 and item 7 of a process are three; a type that knows no products is not asked."""
    kinds = [("128", "Y"), ("177", "N")]
    warehouse.put(
        "process_types", [{"entity_type_id": kind, "is_link_with_products_enabled": linked} for kind, linked in kinds]
    )
    warehouse.put("process_items", [{"entity_type_id": kind, "id": "7", "updated_time": OLD} for kind, _ in kinds])
    warehouse.put("smart_invoices", [{"id": "7", "updated_time": OLD}])
    for table in ("deals", "leads", "quotes"):
        warehouse.put(table, [{"id": "7", "date_modify": OLD}])
    with_product_rows(warehouse, {("D", 7): [1], ("L", 7): [2], ("Q", 7): [3], ("SI", 7): [4], ("T80", 7): [5]})
    warehouse.read("product_rows")
    assert warehouse.asked("filter", "=ownerType") == ["D", "L", "Q", "SI", "T80"]
    warehouse.put("leads", [{"id": "7", "date_modify": LATER}])
    with_product_rows(warehouse, {("L", 7): []})
    warehouse.read("product_rows")
    assert warehouse.asked("filter", "=ownerType") == ["L"]
    assert warehouse.query("select owner_type, owner_id, id from raw_bitrix24.product_rows order by owner_type") == [
        ("D", "7", "1"), ("L", "7", None), ("Q", "7", "3"), ("SI", "7", "4"), ("T80", "7", "5"),
    ]  # fmt: skip


# order, bounds, resumption


def test_won_deals_lead_and_the_bound_holds_them_all(warehouse: Warehouse) -> None:
    """Revenue by product is wanted first; deals go before all other owners, and a run asks no more than it may."""
    with_product_rows(warehouse, {})
    warehouse.put_deals([1], closed="Y", moved_time="2026-06-01T00:30:00+03:00")
    warehouse.put_deals([2], closed="Y", moved_time="2026-05-31T23:00:00+00:00")  # two hours and a half later
    warehouse.put_deals([3, 4], closed="N", moved_time=LATER)
    warehouse.put("leads", [{"id": "9", "date_modify": OLD}])
    asked: list[str] = []
    left: list[int] = []
    for _ in range(3):
        warehouse.read("product_rows", per_run=2)
        asked += warehouse.asked("filter", "=ownerId")
        left.append(warehouse.left["product_rows"])
    assert asked == ["2", "1", "4", "3", "9"]
    assert left == [3, 1, 0]
    coverage = (
        "select owner_type, owners, owners_read from ops.detail_coverage where detail = 'product_rows' order by 1"
    )
    assert warehouse.query(coverage) == [("D", 4, 4), ("L", 1, 1)]


def test_a_killed_run_is_taken_up_behind_its_last_package(warehouse: Warehouse) -> None:
    """A stopped run keeps whole packages, in the order of the list; the next one asks for the others only."""
    with_product_rows(warehouse, {("D", number): [number] for number in range(1, 301)})
    warehouse.put_deals(range(1, 301))
    seen: list[float | None] = []

    def stop(table: str, rows: int, share: float | None) -> None:
        seen.append(share)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warehouse.read("product_rows", progress=stop, package_owners=100)
    # one batch at first, to try the method, then packages of a hundred
    kept = "select count(*), min(cast(owner_id as int)) from raw_bitrix24.product_rows"
    assert warehouse.query(kept) == [(150, 151)]
    assert seen == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6])

    report = warehouse.read("product_rows")
    assert (report.commands, report.rows_new) == (150, 150)
    assert warehouse.query(kept) == [(300, 1)]


def test_a_package_whose_ledger_was_lost_is_read_again(warehouse: Warehouse) -> None:
    """Killed between the rows and the ledger: the same owners come twice, their rows once."""
    with_product_rows(warehouse, {("D", 1): [10, 11]})
    warehouse.put_deals([1])
    warehouse.read("product_rows")
    warehouse.ledger.forget_owners()
    report = warehouse.read("product_rows")
    assert (report.rows_read, report.rows_new, report.rows_changed) == (2, 0, 0)
    assert warehouse.query("select count(*) from raw_bitrix24.product_rows") == [(2,)]


def test_tables_take_turns_in_a_package(warehouse: Warehouse) -> None:
    """A method that must rest would otherwise hold up all tables behind it."""
    with_product_rows(warehouse, {})
    warehouse.put_deals(range(1, 201))
    warehouse.put("tasks", [{"id": str(n), "changed_date": OLD} for n in range(1, 101)])
    warehouse.read("product_rows", "task_history", package_owners=100)
    methods = [line.partition("?")[0] for batch in warehouse.portal.batches for line in batch.values()]
    assert methods.index("tasks.task.history.list") == 50  # after the first batch of product rows
    assert sum(len(batch) for batch in warehouse.portal.batches) == 300


def test_an_owner_who_did_not_change_is_not_asked_again(warehouse: Warehouse) -> None:
    """One command per owner and run would use up the portal."""
    with_product_rows(warehouse, {("D", 1): [10]})
    warehouse.put_deals([1, 2])
    warehouse.read("product_rows")
    warehouse.put_deals([2], LATER)
    warehouse.read("product_rows")
    assert warehouse.asked("filter", "=ownerId") == ["2"]
    assert warehouse.read("product_rows").commands == 0


def test_a_deleted_owner_is_not_asked(warehouse: Warehouse) -> None:
    """The portal would refuse each of them in each run."""
    with_product_rows(warehouse, {})
    warehouse.put_deals([1, 2])
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("update raw_bitrix24.deals set _deleted_at = '2026-06-15T09:00:00+00:00' where id = '1'")
    warehouse.read("product_rows")
    assert warehouse.asked("filter", "=ownerId") == ["2"]


# refusals


def test_an_owner_that_is_refused_stops_nobody_and_is_tried_again_after_a_day(warehouse: Warehouse) -> None:
    """It was deleted between its own reading and that of its rows; asked in each run it could crowd out all others."""

    def answer(params: dict[str, Any]) -> Any:
        if params["filter"]["=ownerId"] == "2":
            raise Refusal("NOT_FOUND", "Owner not found")
        return {"productRows": []}

    warehouse.portal.handlers["crm.item.productrow.list"] = answer
    warehouse.put_deals([1, 2, 3])
    report = warehouse.read("product_rows")
    assert report.note.startswith("1 of 3 not read")
    assert warehouse.query("select owner_id from raw_bitrix24.product_rows order by 1") == [("1",), ("3",)]
    assert warehouse.query("select owners, owners_read, owners_refused from ops.detail_coverage limit 1") == [(3, 2, 1)]

    assert warehouse.read("product_rows", as_of=FIRST + timedelta(hours=1)).commands == 0
    warehouse.read("product_rows", as_of=FIRST + DAY)
    assert warehouse.asked("filter", "=ownerId") == ["2"]
    with_product_rows(warehouse, {("D", 2): [20]})
    warehouse.put_deals([2], LATER)
    assert warehouse.read("product_rows", as_of=FIRST + DAY).rows_new == 1


@pytest.mark.parametrize(
    "table",
    [
        "product_rows",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("task_history", "openline_sessions", "calendar_events", "work_time_records")
        ),
    ],
)
def test_a_missing_scope_costs_a_request_and_no_other_table(warehouse: Warehouse, table: str) -> None:
    """Its reason stands in the note, and once the scope is given the rows come with the next run."""
    add_owners(warehouse, 60)
    method = next(detail.method for detail in DETAILS if detail.table == table)
    answer = warehouse.portal.handlers[method]
    warehouse.portal.handlers[method] = refuse("insufficient_scope")
    others = ["custom_field_options", "task_history" if table == "product_rows" else "product_rows"]
    report = warehouse.read(table, *others)
    reports = {
        row[0]: row for row in warehouse.query("select detail, sum(owners_read) from ops.detail_coverage group by 1")
    }
    assert report.entity != table or "insufficient_scope" in report.note
    assert reports[table][1] == 0
    assert all(reports[name][1] > 0 for name in others)
    assert warehouse.query("select 1 from ops.detail_owners where refusal <> ''") == []

    refused = warehouse.read(table)
    assert "insufficient_scope" in refused.note
    assert refused.requests == 1
    warehouse.portal.handlers[method] = answer
    assert warehouse.read(table).note == ""
    assert warehouse.left[table] == 0


def test_a_batch_of_refusals_ends_the_table_for_this_run(warehouse: Warehouse) -> None:
    """The portal has many words for a method that is closed; what was refused is not asked first for ever."""
    warehouse.portal.handlers["crm.item.productrow.list"] = refuse("ACCESS_DENIED")
    warehouse.put_deals(range(1, 121))
    assert warehouse.read("product_rows").commands == 50
    with_product_rows(warehouse, {})
    report = warehouse.read("product_rows")
    assert (report.commands, report.note) == (70, "")
    assert warehouse.read("product_rows", as_of=FIRST + DAY).commands == 50


def test_a_revoked_webhook_ends_the_run(warehouse: Warehouse) -> None:
    """It is no matter of one owner, in REST 3.0 neither."""
    add_owners(warehouse, 3)
    warehouse.portal.handlers["timeman.record.list"] = refuse("NO_AUTH_FOUND")
    with pytest.raises(AccessError):
        warehouse.read("work_time_records")


# each list


def add_owners(warehouse: Warehouse, count: int) -> None:
    """Owners of every kind."""
    ids = range(1, count + 1)
    warehouse.put_deals(ids)
    warehouse.put("tasks", [{"id": str(n), "changed_date": OLD} for n in ids])
    warehouse.put("users", [user(n) for n in ids])
    warehouse.put("activities", [chat(n, n) for n in ids])
    warehouse.put("custom_fields", [list_field(n) for n in ids])
    with_product_rows(warehouse, {})


def user(number: int, **values: Any) -> dict[str, Any]:
    return {"id": str(number), "active": "true", "user_type": "employee", "date_register": OLD, **values}


def chat(number: int, session: int, **values: Any) -> dict[str, Any]:
    own = {"provider_id": "IMOPENLINES_SESSION", "associated_entity_id": str(session), "created": OLD}
    return {"id": str(number), "last_updated": OLD, **own, **values}


def list_field(number: int, **values: Any) -> dict[str, Any]:
    own = {"entity_id": "CRM_SMART_INVOICE", "field_name": f"UF_CRM_SI_{number}", "user_type_id": "enumeration"}
    return {"id": str(number), **own, **values}


def change(number: int, field: str, before: Any, after: Any) -> dict[str, Any]:
    return {
        "id": number, "createdDate": OLD, "field": field, "value": {"from": before, "to": after},
        "user": {"id": 7, "name": "Анна", "lastName": "Тест", "login": "anna@example.test"},
    }  # fmt: skip


def test_the_history_of_a_task_is_replaced_whole(warehouse: Warehouse) -> None:
    """Closed tasks first; an empty answer means a task that is out of sight, not one without a past."""
    histories: dict[str, Any] = {"1": [change(10, "NEW", None, None)], "2": [change(20, "STATUS", "2", "5")]}
    histories["2"].append(change(21, "MARK", None, "P"))
    warehouse.portal.handlers["tasks.task.history.list"] = lambda params: {"list": histories.get(params["taskId"], [])}
    warehouse.put("tasks", [{"id": "1", "changed_date": OLD, "closed_date": OLD}])
    warehouse.put("tasks", [{"id": n, "changed_date": OLD, "closed_date": None} for n in ("2", "3")])
    report = warehouse.read("task_history")
    assert warehouse.asked("taskId") == ["1", "3", "2"]
    assert (report.rows_read, report.rows_new) == (3, 3)

    del histories["2"][0], histories["1"]
    for task in ("1", "2"):
        warehouse.put("tasks", [{"id": task, "changed_date": LATER}])
    warehouse.read("task_history")
    columns = "task_id, id, field, value_from, value_to, user_id"
    assert warehouse.query(f"select {columns} from raw_bitrix24.task_history order by id") == [
        ("1", "10", "NEW", None, None, "7"),
        ("2", "21", "MARK", None, "P", "7"),
    ]


def session(number: int, *messages: tuple[int, str]) -> dict[str, Any]:
    return {
        "chatId": 100 + number,
        "sessionId": number,
        "message": {
            str(key): {"id": str(key), "chatid": str(100 + number), "senderid": sender, "date": OLD, "text": "Тайна"}
            for key, sender in messages
        },
        "users": {
            "7": {"id": "7", "name": "Анна Тест", "connector": False},
            "99": {"id": "99", "name": "Гость", "connector": True},
            "55": {"id": "55", "name": "Бот", "connector": False, "bot": True},
        },
    }


def test_chats_keep_who_wrote_and_when(warehouse: Warehouse) -> None:
    """The system is nobody's side; of a sender whom the portal does not describe the side is unknown."""
    asked = session(5, (3, "7"), (1, "99"), (2, "0"), (4, "8"), (5, "55"))
    warehouse.portal.handlers["imopenlines.session.history.get"] = lambda _: asked
    # two activities of one session: it is asked for once
    warehouse.put("activities", [chat(11, 5), chat(12, 5, last_updated=LATER), chat(13, 0)])
    warehouse.put("activities", [{"id": "14", "provider_id": "CRM_EMAIL", "associated_entity_id": "6"}])
    warehouse.read("openline_sessions")
    assert warehouse.asked("SESSION_ID") == ["5"]
    columns = "session_id, message_id, chat_id, activity_id, sender_id, is_client, is_bot, sent_at"
    assert warehouse.query(f"select {columns} from raw_bitrix24.openline_sessions order by message_id") == [
        ("5", "1", "105", "12", "99", "true", "false", OLD),
        ("5", "2", "105", "12", "0", "false", None, OLD),
        ("5", "3", "105", "12", "7", "false", "false", OLD),
        ("5", "4", "105", "12", "8", None, None, OLD),
        ("5", "5", "105", "12", "55", "false", "true", OLD),
    ]


def test_an_empty_chat_has_lists_for_maps(warehouse: Warehouse) -> None:
    """PHP writes an empty map as a list."""
    warehouse.portal.handlers["imopenlines.session.history.get"] = lambda _: {"message": [], "users": []}
    warehouse.put("activities", [chat(11, 5)])
    report = warehouse.read("openline_sessions")
    assert (report.rows_read, report.note) == (0, "")


def test_young_chats_are_read_once_a_day_and_once_when_they_are_old(warehouse: Warehouse) -> None:
    """Messages leave no mark on the activity."""
    warehouse.portal.handlers["imopenlines.session.history.get"] = lambda _: session(5, (1, "99"))
    warehouse.put("activities", [chat(11, 5, created=LATER), chat(12, 6)])
    asked = []
    for hours in (0, 3, 24, 48, 75, 80, 200):
        warehouse.read("openline_sessions", as_of=FIRST + timedelta(hours=hours))
        asked.append(sorted(warehouse.asked("SESSION_ID")))
    assert asked == [["5", "6"], [], ["5"], ["5"], ["5"], [], []]


def event(number: int, start: str, *, days: int = 0) -> dict[str, Any]:
    begins = datetime.fromisoformat(start)
    return {
        "ID": str(number), "PARENT_ID": str(number), "OWNER_ID": "1", "CAL_TYPE": "user", "NAME": "Тайна",
        "DATE_FROM_TS_UTC": str(int(begins.timestamp())), "DT_LENGTH": 3600, "IS_MEETING": True,
        "DATE_TO_TS_UTC": str(int((begins + timedelta(days=days, hours=1)).timestamp())), "UF_CRM_CAL_EVENT": ["D_37"],
    }  # fmt: skip


def with_calendar(warehouse: Warehouse, events: list[dict[str, Any]]) -> None:
    def answer(params: dict[str, Any]) -> Any:
        if (params["type"], params["ownerId"]) != ("user", "1"):
            return []
        first, last = (datetime.fromisoformat(params[key] + "T00:00:00+03:00") for key in ("from", "to"))
        return [
            row
            for row in events
            if int(row["DATE_TO_TS_UTC"]) >= first.timestamp() and int(row["DATE_FROM_TS_UTC"]) <= last.timestamp()
        ]

    warehouse.portal.handlers["calendar.event.get"] = answer


def test_calendars_are_read_from_the_portals_beginning_then_around_today(warehouse: Warehouse) -> None:
    """The history in quarters, without a gap; afterwards one window a day, and after a pause what it left out."""
    with_calendar(warehouse, [event(1, "2026-02-01T10:00:00+03:00")])
    warehouse.put("users", [user(1), user(2, active="false"), user(3, user_type="bot")])
    warehouse.read("calendar_events")
    owners = list(zip(warehouse.asked("type"), warehouse.asked("ownerId"), strict=True))
    windows = list(zip(warehouse.asked("from"), warehouse.asked("to"), strict=True))
    assert dict.fromkeys(owners) == dict.fromkeys([("company_calendar", "0"), ("user", "2"), ("user", "1")])
    assert windows[:3] == [
        ("2026-01-10", "2026-04-11"),
        ("2026-04-11", "2026-05-16"),
        ("2026-05-16", "2026-09-13"),
    ]

    assert warehouse.read("calendar_events", as_of=FIRST + timedelta(hours=5)).commands == 0
    warehouse.read("calendar_events", as_of=FIRST + DAY)
    assert sorted(warehouse.asked("ownerId")) == ["0", "1"]  # 2 has left
    assert set(warehouse.asked("from")) == {"2026-05-17"}
    warehouse.read("calendar_events", as_of=FIRST + 60 * DAY)
    assert sorted(set(zip(warehouse.asked("from"), warehouse.asked("to"), strict=True))) == [
        ("2026-05-17", "2026-07-15"),
        ("2026-07-15", "2026-11-12"),
    ]


def test_a_meeting_that_was_moved_leaves_a_tombstone_where_it_was(warehouse: Warehouse) -> None:
    """Each occurrence has its own key, so the old one would stay beside the new one for ever."""
    days = ("2026-06-20", "2026-06-21", "2026-03-01")
    moved, kept, past = (event(number, f"{day}T10:00:00+03:00") for number, day in enumerate(days, 1))
    events = [moved, kept, past]
    with_calendar(warehouse, events)
    warehouse.put("users", [user(1), user(2)])
    assert warehouse.read("calendar_events").rows_new == 3
    events[:] = [event(1, "2026-06-22T10:00:00+03:00"), kept]  # what is long past is not looked at any more
    warehouse.read("calendar_events", as_of=FIRST + DAY)
    found = "select id, date_from_ts_utc, _deleted_at from raw_bitrix24.calendar_events order by 1, 2"
    marked = (FIRST + DAY).isoformat()
    assert warehouse.query(found) == [
        ("1", moved["DATE_FROM_TS_UTC"], marked),
        ("1", events[0]["DATE_FROM_TS_UTC"], None),
        ("2", kept["DATE_FROM_TS_UTC"], None),
        ("3", past["DATE_FROM_TS_UTC"], None),
    ]
    events.append(moved)
    warehouse.read("calendar_events", as_of=FIRST + 2 * DAY)
    assert {deleted for *_, deleted in warehouse.query(found)} == {None}


def test_a_refused_calendar_loses_nothing(warehouse: Warehouse) -> None:
    """Rights that were taken away look like a calendar that was emptied."""
    with_calendar(warehouse, [event(1, "2026-06-20T10:00:00+03:00")])
    warehouse.put("users", [user(1)])
    warehouse.read("calendar_events")
    warehouse.portal.handlers["calendar.event.get"] = refuse("ACCESS_DENIED")
    assert "not read" in warehouse.read("calendar_events", as_of=FIRST + DAY).note
    assert warehouse.query("select _deleted_at from raw_bitrix24.calendar_events") == [(None,)]


def with_work_time(warehouse: Warehouse, days: Mapping[int, int], *, refused: Sequence[int] = ()) -> list[Any]:
    """A portal where users have so many days of work; returns the requests that it gets."""
    seen: list[Any] = []

    def answer(params: dict[str, Any]) -> Any:
        seen.append(params)
        (_, _, number), (_, _, since) = params["filter"]
        if number in refused:
            raise Refusal({"code": "BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION", "message": "Access denied"})
        start = datetime.fromisoformat(since)
        rows = [
            {"id": 10_000 * number + n, "userId": number, "startTime": (FIRST - n * DAY).isoformat(), "duration": 60}
            for n in range(days.get(number, 0))
            if FIRST - n * DAY >= start
        ]
        page, limit = params["pagination"]["page"], params["pagination"]["limit"]
        return {"items": rows[(page - 1) * limit : page * limit]}

    warehouse.portal.handlers["timeman.record.list"] = answer
    return seen


def test_work_time_comes_by_rest_3_one_user_a_request(warehouse: Warehouse) -> None:
    """Pages of a thousand, a user who is closed to us skipped, sixty days again on the next day."""
    seen = with_work_time(warehouse, {1: 2100, 2: 100}, refused=[3])
    warehouse.put("users", [user(1, date_register="2016-01-01"), user(2), user(3)])
    report = warehouse.read("work_time_records")
    assert {url.path.rpartition("/")[0] for url in warehouse.portal.urls} == {"/rest/api/1/s3cr3tWebhookCode"}
    assert (report.rows_new, report.commands, report.requests) == (2200, 5, 5)
    assert report.note.startswith("1 of 3 not read: timeman.record.list: BITRIX_REST_V3_EXCEPTION_ACCESSDENIED")
    seen.clear()
    second = warehouse.read("work_time_records", as_of=FIRST + DAY)
    assert [request["filter"][1][2] for request in seen] == ["2026-04-17T00:00:00+00:00"] * 2
    assert (second.rows_read, second.rows_new) == (120, 0)


def test_who_keeps_no_work_time_is_asked_once_a_week(warehouse: Warehouse) -> None:
    """Where nobody uses it, a request for each employee and day would be thrown away."""
    seen = with_work_time(warehouse, {1: 10})
    warehouse.put("users", [user(1), user(2), user(3, active="false")])
    asked = []
    for days in (0, 1, 6, 7):
        seen.clear()
        warehouse.read("work_time_records", as_of=FIRST + days * DAY)
        asked.append(sorted(request["filter"][0][2] for request in seen))
    assert asked == [[1, 2, 3], [1], [1], [1, 2]]


def test_a_day_that_was_taken_back_gets_a_tombstone(warehouse: Warehouse) -> None:
    """It would be counted as worked."""
    with_work_time(warehouse, {1: 10})
    warehouse.put("users", [user(1)])
    warehouse.read("work_time_records")
    with_work_time(warehouse, {1: 9})
    warehouse.read("work_time_records", as_of=FIRST + DAY)
    assert warehouse.query("select id from raw_bitrix24.work_time_records where _deleted_at is not null") == [
        ("10009",)
    ]


def test_options_of_items_are_asked_for_by_field(warehouse: Warehouse) -> None:
    """The registry lists fields without options; new fields at once, all once a day, those of deals never."""
    warehouse.portal.handlers["userfieldconfig.get"] = lambda params: {
        "field": {"id": params["id"], "enum": [{"id": "8", "value": "Радио", "xmlId": "x", "def": "N", "sort": "10"}]}
    }
    of_a_deal = list_field(9, entity_id="CRM_DEAL")
    fields = [list_field(1), list_field(2, user_type_id="string"), of_a_deal]
    warehouse.put("custom_fields", fields)
    warehouse.read("custom_field_options")
    assert warehouse.asked("id") == ["1"]
    columns = ", ".join(schema.CUSTOM_FIELD_OPTIONS)
    assert warehouse.query(f"select {columns} from raw_bitrix24.custom_field_options") == [
        ("CRM_SMART_INVOICE", "UF_CRM_SI_1", "8", "Радио", "10", "x")
    ]
    warehouse.put("custom_fields", [list_field(3)])
    warehouse.read("custom_field_options")
    assert warehouse.asked("id") == ["3"]
    warehouse.put("custom_fields", [*fields, list_field(4)], FIRST + DAY)  # 3 is not listed any more
    warehouse.read("custom_field_options", as_of=FIRST + DAY)
    assert sorted(warehouse.asked("id")) == ["1", "4"]


def test_a_refusal_of_rest_3_is_one_of_the_method() -> None:
    """With this status the old methods refuse the webhook as a whole."""
    denied = {"error": {"code": "BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION", "message": "Access denied"}}
    assert classify(denied, 403).kind is Kind.DENIED
    assert classify({"error": "NO_AUTH_FOUND"}, 401).kind is Kind.ACCESS
    assert classify({"error": {"code": "BITRIX_REST_V3_EXCEPTION_X", "message": ""}}, 500).kind is Kind.TRANSIENT


def test_reports_of_one_table_add_up() -> None:
    """Options of custom fields come from two lists, and a table has one line in the summary."""
    total = EntityReport("custom_field_options", "dictionary", requests=1, rows_new=2, operating_seconds=0.5)
    total.add(EntityReport("custom_field_options", "delta", requests=2, rows_new=3, operating_seconds=1, note="odd"))
    assert (total.requests, total.rows_new, total.operating_seconds, total.note) == (3, 5, 1.5, "odd")
