"""The stand-in portal's further entities: they fit the deals, live from day to day, and go with their owners."""

from __future__ import annotations

from collections import Counter, defaultdict
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from demo.world import World
from demo.world.dice import Dice
from demo.world.packed import PackedRows

NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
DEALS = 700
PURCHASES, TICKETS, CONTRACTS = 128, 1036, 1044
KEYS = {
    "process_items": ("entityTypeId", "id"),
    "process_stage_history": ("entityTypeId", "ID"),
    "deal_contacts": ("DEAL_ID", "CONTACT_ID"),
    "contact_companies": ("CONTACT_ID", "COMPANY_ID"),
    "order_entities": ("orderId", "ownerId"),
    "addresses": ("TYPE_ID", "ENTITY_TYPE_ID", "ENTITY_ID"),
    "calendar_events": ("ID", "DATE_FROM_TS_UTC"),
    "openline_sessions": ("sessionId",),
}
MODIFIED = {
    "quotes": "DATE_MODIFY",
    "smart_invoices": "updatedTime",
    "process_items": "updatedTime",
    "products": "timestampX",
    "product_prices": "timestampX",
    "requisites": "DATE_MODIFY",
}
Row = dict[str, Any]
Truth = dict[str, Any]


@pytest.fixture(scope="module")
def lives() -> tuple[Truth, Truth, Truth]:
    """The same company now, four days later, and a day with deletions after that."""
    world = World.generate(7, DEALS, NOW)
    now = deepcopy(world.truth())
    world.advance(4)
    later = deepcopy(world.truth())
    world.advance(1, deletions=True)
    return now, later, world.truth()


@pytest.fixture(scope="module")
def truth(lives: tuple[Truth, Truth, Truth]) -> Truth:
    return lives[0]


def key_of(table: str, row: Row) -> tuple[Any, ...]:
    names = KEYS.get(table) or ("ID" if "ID" in row else "id",)
    return tuple(row[name] for name in names)


def keyed(truth: Truth, table: str) -> dict[tuple[Any, ...], Row]:
    rows = {key_of(table, row): row for row in truth[table]}
    assert len(rows) == len(truth[table]), f"{table} repeats a key"
    return rows


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


FURTHER = [
    *KEYS, *MODIFIED, "smart_invoice_stage_history", "process_types", "pipelines", "custom_fields",
    "payments", "product_rows", "catalogs", "product_sections", "openline_configs", "task_history", "workgroups",
    "calendar_sections", "work_time_records",
]  # fmt: skip


@pytest.mark.parametrize("table", sorted(set(FURTHER)))
def test_keys_are_unique(lives: tuple[Truth, Truth, Truth], table: str) -> None:
    """A table keyed by what repeats would lose rows in every merge."""
    for world in lives:
        assert keyed(world, table)


def test_sizes_follow_the_deals(truth: Truth) -> None:
    """Proportions are those of a company that sells, bills and repairs."""
    won = sum(deal["STAGE_SEMANTIC_ID"] == "S" for deal in truth["deals"])
    assert 0.2 * DEALS < len(truth["quotes"]) < 0.4 * DEALS
    assert 0.4 * won < len(truth["smart_invoices"]) < won
    assert 0.1 * DEALS < len(truth["process_items"]) < 0.35 * DEALS
    assert len(truth["payments"]) < 1.3 * len(truth["smart_invoices"])
    kinds = Counter(row["entityTypeId"] for row in truth["process_items"])
    assert min(kinds[kind] for kind in (PURCHASES, TICKETS, CONTRACTS)) > 10


def test_a_part_draws_from_its_own_stream() -> None:
    """A part that shared a stream with another would change it by being added."""
    assert Dice(7, "quotes").rng.random() == Dice(7, "quotes").rng.random()
    assert Dice(7, "quotes").rng.random() != Dice(7, "invoices").rng.random()
    assert Dice(7, "quotes").rng.random() != Dice(8, "quotes").rng.random()


def test_packed_rows_are_a_dictionary_of_rows() -> None:
    """The server and the truth read them without knowing that they are packed."""
    rows = PackedRows(lambda row_id, values: {"id": row_id, "name": values[0]})
    rows.pack(1, ("a",))
    rows.pack(2, ("b",))
    assert list(rows.values()) == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert dict(rows.items())[2] == rows[2] == rows.get(2)
    assert (rows.get(3), rows.pop(3, None)) == (None, None)
    assert rows.pop(1) == {"id": 1, "name": "a"}
    assert list(rows) == [2]


# what fits together


def test_quotes_and_invoices_belong_to_deals(truth: Truth) -> None:
    """Links lead to the deal, its client and its product rows."""
    deals = {int(deal["ID"]): deal for deal in truth["deals"]}
    for quote in truth["quotes"]:
        deal = deals[int(quote["DEAL_ID"])]
        assert quote["CURRENCY_ID"] == deal["CURRENCY_ID"]
        assert at(quote["DATE_CREATE"]) >= at(deal["DATE_CREATE"])
        assert (quote["CLOSED"] == "Y") == (quote["STATUS_ID"] in ("APPROVED", "DECLAINED", "UC_QEXPIR"))
    for invoice in truth["smart_invoices"]:
        deal = deals[invoice["parentId2"]]
        assert invoice["companyId"] == int(deal["COMPANY_ID"] or 0)
        assert at(invoice["createdTime"]) >= at(deal["DATE_CREATE"])
    assert {row["STATUS_ID"] for row in truth["quotes"]} >= {"SENT", "APPROVED", "DECLAINED"}


def test_amounts_are_the_sums_of_rows(truth: Truth) -> None:
    """Unless typed by hand, an amount is what the rows add up to, to the kopeck."""
    sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for row in truth["product_rows"]:
        cost = Decimal(str(row["price"])) * Decimal(str(row["quantity"]))
        sums[row["ownerType"], row["ownerId"]] += cost.quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")
    for quote in truth["quotes"]:
        expected = sums.get(("Q", int(quote["ID"])))
        assert expected is None or Decimal(quote["OPPORTUNITY"]) == expected
    checked = 0
    for invoice in truth["smart_invoices"]:
        if invoice["isManualOpportunity"] == "N" and invoice["opportunity"] != 100:
            assert Decimal(str(invoice["opportunity"])) == sums["SI", invoice["id"]]
            checked += 1
    assert checked > 20
    assert {code for code, _ in sums} == {"L", "Q", "SI", "T80"}


@pytest.mark.parametrize(
    ("items", "history"),
    [("smart_invoices", "smart_invoice_stage_history"), ("process_items", "process_stage_history")],
)
def test_histories_end_where_items_stand(lives: tuple[Truth, Truth, Truth], items: str, history: str) -> None:
    """The last entry is the present stage, and no entry is later than the item's modification."""
    for world in lives:
        rows = {(row["entityTypeId"], row["id"]): row for row in world[items] if "stageId" in row}
        entries: dict[tuple[int, int], list[Row]] = defaultdict(list)
        for entry in sorted(world[history], key=lambda entry: entry["ID"]):
            entries[entry.get("entityTypeId", 31), entry["OWNER_ID"]].append(entry)
        assert set(entries) == set(rows)
        for owner, found in entries.items():
            assert found[-1]["STAGE_ID"] == rows[owner]["stageId"]
            assert found[-1]["CATEGORY_ID"] == rows[owner]["categoryId"]
            assert found[0]["TYPE_ID"] == 1
            assert at(found[-1]["CREATED_TIME"]) <= at(rows[owner]["updatedTime"])


def test_all_moves_of_items_share_one_numbering(truth: Truth) -> None:
    """Invoices and processes lie in one table of the portal, so ids of their histories never meet."""
    ids = [row["ID"] for name in ("smart_invoice_stage_history", "process_stage_history") for row in truth[name]]
    assert len(set(ids)) == len(ids)


def test_tickets_are_reopened_and_handed_over(truth: Truth) -> None:
    """Service quality counts returns and escalations, so there have to be some."""
    kinds = Counter(row["TYPE_ID"] for row in truth["process_stage_history"] if row["entityTypeId"] == TICKETS)
    assert kinds[5] > 0
    journeys: dict[int, list[int]] = defaultdict(list)
    for row in truth["process_stage_history"]:
        if row["entityTypeId"] == TICKETS:
            journeys[row["OWNER_ID"]].append(row["TYPE_ID"])
    assert any(3 in journey[:-1] for journey in journeys.values())


def test_money_comes_through_orders(truth: Truth) -> None:
    """Each payment has an order, each order a deal; some is owed, some in parts, some given back."""
    deals = {int(deal["ID"]) for deal in truth["deals"]}
    orders = {row["orderId"]: row for row in truth["order_entities"]}
    assert {row["orderId"] for row in truth["payments"]} == set(orders)
    assert all(row["ownerId"] in deals and row["ownerTypeId"] == 2 for row in orders.values())
    states = Counter((row["paid"], row["isReturn"]) for row in truth["payments"])
    assert min(states["Y", "N"], states["N", "N"], states["Y", "Y"]) > 0
    assert any(row["accountNumber"].endswith("/2") for row in truth["payments"])
    for row in truth["payments"]:
        assert (row["datePaid"] is not None) == (row["paid"] == "Y")
        assert row["isReturn"] == "N" or at(row["payReturnDate"]) >= at(row["datePaid"])


def test_requisites_carry_the_companys_tax_number(truth: Truth) -> None:
    """The number typed into the company's own field is that of its requisites."""
    companies = {row["ID"]: row for row in truth["companies"]}
    of_companies = [row for row in truth["requisites"] if row["ENTITY_TYPE_ID"] == "4"]
    assert 0.7 * len(companies) < len(of_companies)
    assert all(row["RQ_INN"].isdigit() for row in of_companies)
    ids = {row["ID"] for row in truth["requisites"]}
    assert all(row["ENTITY_ID"] in ids for row in truth["addresses"])
    assert len({row["CITY"] for row in truth["addresses"]}) > 20


def test_links_begin_with_the_rows_own_client(truth: Truth) -> None:
    """The primary link is the column of the row; further contacts are people of the same client."""
    deals = {int(deal["ID"]): deal for deal in truth["deals"]}
    primary = {row["DEAL_ID"]: row["CONTACT_ID"] for row in truth["deal_contacts"] if row["IS_PRIMARY"] == "Y"}
    assert primary == {
        number: int(deal["CONTACT_ID"]) for number, deal in deals.items() if deal["CONTACT_ID"] not in (None, "0")
    }
    assert sum(row["IS_PRIMARY"] == "N" for row in truth["deal_contacts"]) > 0.1 * DEALS
    assert any(row["IS_PRIMARY"] == "N" for row in truth["contact_companies"])


def test_logs_of_tasks_tell_their_state(truth: Truth) -> None:
    """Every task begins with NEW, and its last change of status is the status it has."""
    entries: dict[int, list[Row]] = defaultdict(list)
    for row in truth["task_history"]:
        entries[row["taskId"]].append(row)
    for task in truth["tasks"]:
        found = entries[int(task["id"])]
        assert found[0]["field"] == "NEW"
        moves = [row["value"]["to"] for row in found if row["field"] == "STATUS"]
        assert (moves or ["2"])[-1] == task["status"]
        assert at(found[-1]["createdDate"]) <= at(task["changedDate"])
    returns = [
        row for row in truth["task_history"] if row["field"] == "STATUS" and row["value"] == {"from": "4", "to": "3"}
    ]
    assert returns


def test_chats_have_clients_operators_and_no_future(lives: tuple[Truth, Truth, Truth]) -> None:
    """Response times come from who wrote when; a message that is yet to come must not show."""
    for world in lives:
        now = at(world["meta"]["now"])
        answered = 0
        for session in world["openline_sessions"]:
            clients = {number for number, user in session["users"].items() if user["connector"]}
            messages = sorted(session["message"].values(), key=lambda message: int(message["id"]))
            assert all(at(message["date"]) <= now for message in messages)
            assert messages[0]["senderid"] in clients
            answered += any(message["senderid"] not in {*clients, "0"} for message in messages)
        assert 0.5 * len(world["openline_sessions"]) < answered < len(world["openline_sessions"])
        activities = {
            row["ASSOCIATED_ENTITY_ID"] for row in world["activities"] if row["PROVIDER_ID"] == "IMOPENLINES_SESSION"
        }
        if world is not lives[2]:  # a deleted activity leaves its chat behind
            assert activities == {str(session["sessionId"]) for session in world["openline_sessions"]}


def test_people_work_on_weekdays(truth: Truth) -> None:
    """Work time has one record per person and day, breaks, unapproved days, and days that nobody closed."""
    days = Counter((row["userId"], row["startTime"][:10]) for row in truth["work_time_records"])
    assert set(days.values()) == {1}
    assert all(at(row["startTime"]).weekday() < 5 for row in truth["work_time_records"])
    assert {row["state"] for row in truth["work_time_records"]} >= {"OPENED", "CLOSED", "EXPIRED"}
    assert {row["isApproved"] for row in truth["work_time_records"]} == {True, False}
    closed = next(row for row in truth["work_time_records"] if row["state"] == "CLOSED")
    length = timedelta(seconds=closed["duration"] + closed["breakLength"])
    assert at(closed["endTime"]) - at(closed["startTime"]) == length


def test_calendars_hold_series_copies_and_whole_days(truth: Truth) -> None:
    """Time spent in meetings is counted once per meeting, so copies and series must be there to be told apart."""
    events = truth["calendar_events"]
    assert any(row["PARENT_ID"] != row["ID"] for row in events)
    assert any(row["RRULE"] for row in events)
    assert any(row["DT_SKIP_TIME"] == "Y" for row in events)
    assert any(row["UF_CRM_CAL_EVENT"] for row in events)
    parents = {row["ID"] for row in events}
    assert all(row["PARENT_ID"] in parents for row in events)


# from day to day


@pytest.mark.parametrize("table", [*MODIFIED, "payments", "workgroups", "addresses", "work_time_records"])
def test_old_rows_change_within_days(lives: tuple[Truth, Truth, Truth], table: str) -> None:
    """A change that its time of modification does not tell is invisible to a delta."""
    before, after = keyed(lives[0], table), keyed(lives[1], table)
    changed = [key for key, row in before.items() if key in after and after[key] != row]
    assert changed
    if table in MODIFIED:
        start = at(lives[0]["meta"]["now"])
        assert all(at(after[key][MODIFIED[table]]) > start for key in changed)


@pytest.mark.parametrize(
    "table",
    [
        "quotes", "smart_invoices", "process_items", "payments", "smart_invoice_stage_history", "process_stage_history",
        "product_rows", "task_history", "calendar_events", "work_time_records", "deal_contacts", "workgroups",
    ],
)  # fmt: skip
def test_new_rows_arrive_within_days(lives: tuple[Truth, Truth, Truth], table: str) -> None:
    """A rehearsal in which nothing arrives proves nothing about increments."""
    before, after = keyed(lives[0], table), keyed(lives[1], table)
    new = after.keys() - before.keys()
    assert new
    if table not in ("calendar_events", "deal_contacts", "workgroups", "process_items", "process_stage_history"):
        assert min(int(key[-1]) for key in new) > max(int(key[-1]) for key in before)


def test_deletions_take_followers_along(lives: tuple[Truth, Truth, Truth]) -> None:
    """A quote goes with its rows, an invoice and an item with their history too, a company with its requisites."""
    before, after = lives[1], lives[2]
    deleted = after["deleted"]
    for table in ("quotes", "smart_invoices", "process_items", "smart_invoice_stage_history", "process_stage_history"):
        gone = {tuple(key) if isinstance(key, list) else (key,) for key in deleted[table]}
        left = {tuple(int(part) for part in key) for key in keyed(after, table)}
        lost = {tuple(int(part) for part in key) for key in keyed(before, table)} - left
        assert gone
        assert lost <= gone
        assert not gone & left
    owners = {"Q": {int(row["ID"]) for row in after["quotes"]}, "SI": {row["id"] for row in after["smart_invoices"]}}
    owners["L"] = {int(row["ID"]) for row in after["leads"]}
    owners["T80"] = {row["id"] for row in after["process_items"] if row["entityTypeId"] == PURCHASES}
    assert all(row["ownerId"] in owners[row["ownerType"]] for row in after["product_rows"])
    tasks = {int(row["id"]) for row in after["tasks"]}
    assert {row["taskId"] for row in after["task_history"]} == tasks
    companies = {row["ID"] for row in after["companies"]}
    assert all(row["ENTITY_ID"] in companies for row in after["requisites"] if row["ENTITY_TYPE_ID"] == "4")
    assert not any(before["deleted"].values())
