"""The stand-in portal speaks Bitrix24's REST, traps included; tables here are small and made by hand."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import orjson
import pytest

from demo.server import FaultPlan, Portal, PortalControl, PortalOptions, PortalProcess, running_portal
from demo.server.parameters import parse_query
from demo.world import TABLE_NAMES, Table

NOW = datetime(2026, 6, 15, 12, tzinfo=timezone(timedelta(hours=3)))
CODE = "abcdefgh12345678"
DEALS = 120
UF_CHANNEL = "UF_CRM_1720019876534"
UF_CITIES = "UF_CRM_MY_CITIES"


@dataclass
class SmallWorld:
    """A portal of a few rows whose answers can be told by looking at them."""

    now: datetime = NOW
    tables: dict[str, Any] = field(default_factory=lambda: {name: Table(name) for name in TABLE_NAMES})
    deleted: dict[str, list[int]] = field(default_factory=dict)

    def advance(self, days: int, *, deletions: bool = False) -> None:
        self.now += timedelta(days=days)
        if deletions:
            del self.tables["deals"].rows[1]

    def truth(self) -> dict[str, Any]:
        return {"meta": {"now": self.now.isoformat()}, "deals": list(self.tables["deals"].rows.values())}

    def write_inputs(self, folder: Path) -> None:
        (folder / "ad_spend.csv").write_text("date,source\n")

    def fill(self, table: str, rows: Mapping[int, dict[str, Any]]) -> None:
        for row_id, row in rows.items():
            self.tables[table].put(row_id, row)


def deal(row_id: int) -> dict[str, Any]:
    """Deal n was changed at minute n after midnight, is worth n.50 and belongs to company n // 100 (0 is none)."""
    moment = datetime(2026, 6, 1, tzinfo=NOW.tzinfo) + timedelta(minutes=row_id)
    return {
        "ID": str(row_id),
        "TITLE": f"Сделка {row_id}",
        "TYPE_ID": "SALE" if row_id % 2 else "SERVICE",
        "STAGE_ID": "NEW",
        "STAGE_SEMANTIC_ID": "P",
        "CATEGORY_ID": "0",
        "CLOSED": "N",
        "OPPORTUNITY": f"{row_id}.50",
        "CURRENCY_ID": "RUB",
        "COMPANY_ID": str(row_id // 100) if row_id >= 100 else None,
        "CONTACT_ID": "7" if row_id == 5 else "0",
        "DATE_CREATE": moment.isoformat(),
        "DATE_MODIFY": moment.isoformat(),
        "CLOSEDATE": "2026-07-01T03:00:00+03:00" if row_id < 3 else "",
        UF_CHANNEL: "321",
        UF_CITIES: ["Псков", "Тверь"] if row_id == 4 else False,
    }


def task(row_id: int) -> dict[str, Any]:
    return {
        "id": str(row_id),
        "title": f"Задача {row_id}",
        "status": "3",
        "subStatus": "-1" if row_id == 2 else "3",
        "changedDate": "2026-06-05T09:00:00+03:00",
        "groupId": "0",
        "group": [],
        "ufCrmTask": ["D_1"],
    }


def product_row(row_id: int, owner_id: int) -> dict[str, Any]:
    return {
        "id": row_id,
        "ownerId": owner_id,
        "ownerType": "D",
        "productName": "Стул",
        "price": 900,
        "priceAccount": 900,
    }


def small_world() -> SmallWorld:
    world = SmallWorld()
    world.fill("deals", {row_id: deal(row_id) for row_id in range(1, DEALS + 1)})
    phone = [{"ID": "91", "VALUE_TYPE": "WORK", "VALUE": "+70000000001", "TYPE_ID": "PHONE"}]
    lead = {"TITLE": "Заявка", "STATUS_ID": "NEW", "STATUS_SEMANTIC_ID": "P", "OPPORTUNITY": "15000.00"}
    lead |= {"COMPANY_ID": "0", "CONTACT_ID": None, "DATE_CLOSED": "", "UF_CRM_1700000001": "x"}
    world.fill("leads", {1: {"ID": "1", **lead, "PHONE": phone}, 2: {"ID": "2", **lead}})
    world.fill("users", {n: {"ID": str(n), "ACTIVE": n != 3, "NAME": f"Имя {n}"} for n in range(1, 61)})
    world.fill("departments", {n: {"ID": str(n), "NAME": f"Отдел {n}", "SORT": 500} for n in range(1, 61)})
    world.fill("calls", {n: {"ID": str(n), "CALL_START_DATE": NOW.isoformat()} for n in range(1, 61)})
    world.fill("tasks", {n: task(n) for n in range(1, 61)})
    world.fill(
        "deal_stage_history",
        {n: {"ID": n, "TYPE_ID": 1, "OWNER_ID": n, "CREATED_TIME": "2026-06-01T00:00:00+00:00"} for n in range(1, 61)},
    )
    world.fill(
        "activities",
        {1: {"ID": "1", "SUBJECT": "Звонок", "DESCRIPTION": "", "BINDINGS": [{"OWNER_TYPE_ID": "2", "OWNER_ID": "1"}]}},
    )
    world.fill("time_entries", {n: {"ID": str(n), "TASK_ID": str(1 + n % 2), "USER_ID": "1"} for n in range(1, 121)})
    world.fill("statuses", {n: {"ID": str(n), "ENTITY_ID": "SOURCE", "SORT": str(n)} for n in range(1, 61)})
    world.fill(
        "currencies",
        {1: {"CURRENCY": "RUB", "BASE": "Y", "SORT": "100"}, 2: {"CURRENCY": "USD", "BASE": "N", "SORT": "200"}},
    )
    world.fill("pipelines", {1: {"id": 0, "name": "Общая", "sort": 100, "entityTypeId": 2, "isDefault": "Y"}})
    common = {"MULTIPLE": "N", "MANDATORY": "N", "SORT": "100", "EDIT_FORM_LABEL": "Канал"}
    world.fill(
        "custom_fields",
        {
            1: {
                "ID": "1",
                "ENTITY_ID": "CRM_DEAL",
                "FIELD_NAME": UF_CHANNEL,
                "USER_TYPE_ID": "enumeration",
                **common,
                "LIST": [{"ID": "321", "SORT": "10", "VALUE": "Радио"}],
            },
            2: {
                "ID": "2",
                "ENTITY_ID": "CRM_DEAL",
                "FIELD_NAME": UF_CITIES,
                "USER_TYPE_ID": "string",
                **common,
                "MULTIPLE": "Y",
            },
            3: {
                "ID": "3",
                "ENTITY_ID": "CRM_LEAD",
                "FIELD_NAME": "UF_CRM_1700000001",
                "USER_TYPE_ID": "string",
                **common,
            },
        },
    )
    rows = {n: product_row(n, 1) for n in range(1, 61)} | {61: product_row(61, 2)}
    world.fill("deal_product_rows", rows)
    return world


class Ticks:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def quiet_portal(**options: Any) -> tuple[Portal, Ticks]:
    """Return a portal that is asked without HTTP, on time that stands still."""
    ticks = Ticks()
    return Portal(small_world(), PortalOptions(code=CODE, **options), monotonic=ticks), ticks


def ask(portal: Portal, method: str, params: Mapping[str, Any] | None = None) -> tuple[int, Any]:
    reply = portal.receive("1", CODE, method, dict(params or {}))
    return reply.status, orjson.loads(reply.body)


def command(method: str, **params: Any) -> str:
    """Encode a batch command as a careful client does."""

    def flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield from flat(f"{prefix}[{key}]", item)
        elif isinstance(value, list):
            for item in value:
                yield f"{prefix}[]", item
        else:
            yield prefix, value

    return f"{method}?{urlencode([pair for name, value in params.items() for pair in flat(name, value)])}"


# loading certificates takes longer than most of these tests
HTTP = httpx.Client(trust_env=False, verify=False)


@pytest.fixture(scope="module", autouse=True)
def close_connections() -> Iterator[None]:
    yield
    HTTP.close()


@pytest.fixture(scope="module")
def portal() -> Iterator[PortalControl]:
    """A portal that tests only read."""
    with running_portal(small_world(), PortalOptions(code=CODE, limits=False, frozen=True)) as control:
        yield control


@pytest.fixture
def own_portal() -> Iterator[PortalControl]:
    """A portal that a test may disturb."""
    with running_portal(small_world(), PortalOptions(code=CODE, limits=False, frozen=True)) as control:
        yield control


@dataclass
class Caller:
    portal: PortalControl

    def __call__(self, method: str, params: Any = None) -> Any:
        """Call one method by JSON POST and return the envelope."""
        response = HTTP.post(self.portal.webhook_url + method, json=params or {})
        assert response.status_code == 200, response.text
        return response.json()

    def refusal(self, method: str, params: Any = None) -> tuple[int, Any]:
        """Call one method that is refused and return the status and the code."""
        response = HTTP.post(self.portal.webhook_url + method, json=params or {})
        assert set(response.json()) == {"error", "error_description"}
        return response.status_code, response.json()["error"]

    def ids(self, method: str, **params: Any) -> list[int]:
        result = self(method, params)["result"]
        rows = next(iter(result.values())) if isinstance(result, dict) else result
        return [int(row.get("ID") or row["id"]) for row in rows]

    def batch(self, cmd: Any, halt: int = 0) -> Any:
        return self("batch", {"halt": halt, "cmd": cmd})["result"]


@pytest.fixture
def call(portal: PortalControl) -> Caller:
    return Caller(portal)


@pytest.fixture
def own_call(own_portal: PortalControl) -> Caller:
    return Caller(own_portal)


KEYSET = {"start": -1, "order": {"ID": "ASC"}}


# ---- requests and envelopes


def test_get_form_and_json_ask_the_same(portal: PortalControl) -> None:
    """Nested keys are decoded alike in each transport, `.json` and upper case included."""
    query = "filter[>ID]=10&filter[<ID]=13&order[ID]=ASC&select[]=ID&select[]=TITLE"
    body = {"filter": {">ID": 10, "<ID": 13}, "order": {"ID": "ASC"}, "select": ["ID", "TITLE"]}
    url = portal.webhook_url + "crm.deal.list"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answers = [
        HTTP.get(f"{url}.json?{query}"),
        HTTP.post(portal.webhook_url + "CRM.DEAL.LIST", content=query, headers=form),
        HTTP.post(url, json=body),
    ]
    expected = [{"ID": "11", "TITLE": "Сделка 11"}, {"ID": "12", "TITLE": "Сделка 12"}]
    assert [answer.json()["result"] for answer in answers] == [expected] * 3


def test_envelope_tells_the_portals_time(call: Caller) -> None:
    """A client learns the portal's offset and clock from any answer."""
    told = call("server.time")
    assert told["result"] == told["time"]["date_start"] == told["time"]["date_finish"] == "2026-06-15T12:00:00+03:00"
    assert told["time"]["start"] == NOW.timestamp()
    assert "operating" not in told["time"], "a portal without limits names no operating time"


def test_operating_time_is_told_per_method() -> None:
    """Clients pace themselves by `operating` and `operating_reset_at`."""
    portal, _ = quiet_portal(seconds_per_command=2.0, seconds_per_row=0.1)
    ask(portal, "crm.deal.list", {"filter": {"ID": 1}})
    told = ask(portal, "crm.deal.list", {"start": 0})[1]["time"]
    assert told["operating"] == pytest.approx(2.1 + 7.0)
    # the ten buckets of a minute: work done in the bucket of second 1000 (960..1020) leaves at 1560
    assert told["operating_reset_at"] == int(NOW.timestamp()) + 560
    assert ask(portal, "profile")[1]["time"]["operating"] == pytest.approx(2.0)


@pytest.mark.parametrize("path", ["1/wrongcode/profile", f"2/{CODE}/profile", "1/wrongcode/no.such.method"])
def test_a_wrong_webhook_is_refused(portal: PortalControl, path: str) -> None:
    """A typo in the webhook's user or code, and a revoked one, look like this."""
    response = HTTP.get(f"{portal.base_url}/rest/{path}")
    assert (response.status_code, response.json()["error"]) == (401, "NO_AUTH_FOUND")


def test_unknown_method_is_404(call: Caller) -> None:
    assert call.refusal("crm.deal.lost") == (404, "ERROR_METHOD_NOT_FOUND")


def test_application_methods_are_refused_to_a_webhook(call: Caller) -> None:
    assert call.refusal("app.info") == (400, "ACCESS_DENIED")
    assert call.refusal("feature.get") == (400, "CODE_EMPTY")


def test_preflight_methods_describe_the_caller(call: Caller) -> None:
    assert call("profile")["result"] == {
        "ID": "1",
        "ADMIN": True,
        "NAME": "Имя 1",
        "LAST_NAME": "",
        "PERSONAL_GENDER": "",
        "TIME_ZONE": "",
    }
    assert call("user.current")["result"]["ID"] == "1"
    assert call("crm.currency.base.get")["result"] == "RUB"
    assert call("crm.settings.mode.get")["result"] == 1
    assert call("method.get", {"name": "crm.deal.list"})["result"] == {"isExisting": True, "isAvailable": True}
    assert call("method.get", {"name": "crm.invoice.list"})["result"] == {"isExisting": False, "isAvailable": False}
    assert {"batch", "crm.deal.list", "tasks.task.list"} <= set(call("methods")["result"])


# ---- families of paging


@pytest.mark.parametrize(
    ("start", "first", "total", "following"),
    [(0, 1, 120, 50), (50, 51, 120, 100), (99, 51, 120, 100), (100, 101, 120, None)],
)
def test_old_lists_page_by_whole_pages(call: Caller, start: int, first: int, total: int, following: int | None) -> None:
    """A `start` that is no multiple of 50 is rounded down; `next` is absent on the last page."""
    told = call("crm.deal.list", {"order": {"ID": "ASC"}, "start": start})
    assert (told["result"][0]["ID"], told["total"], told.get("next")) == (str(first), total, following)


def test_old_lists_begin_again_past_the_end(call: Caller) -> None:
    """A loop that ignores `next` never ends: past the end the first page comes again."""
    told = call("crm.deal.list", {"order": {"ID": "ASC"}, "start": 150})
    assert [row["ID"] for row in told["result"]] == [str(n) for n in range(1, 51)]
    assert (told["total"], told["next"]) == (120, 50)
    assert call.ids("department.get", START=100) == list(range(1, 51))
    assert call.ids("department.get", start=50) == list(range(51, 61))


def test_users_and_calls_take_a_real_offset(call: Caller) -> None:
    """Past the end the list is empty; `user.get` then forgets `total`."""
    told = call("user.get", {"sort": "ID", "order": "ASC", "start": 7})
    assert (told["result"][0]["ID"], told["total"], told["next"]) == ("8", 60, 57)
    past = call("user.get", {"start": 100})
    assert past["result"] == []
    assert "total" not in past
    calls = call("voximplant.statistic.get", {"start": 100})
    assert (calls["result"], calls["total"], "next" in calls) == ([], 60, False)


def test_controllers_are_empty_past_the_end(call: Caller) -> None:
    told = call("crm.item.list", {"entityTypeId": 2, "order": {"id": "ASC"}, "start": 150})
    assert (told["result"], told["total"], "next" in told) == ({"items": []}, 120, False)
    last = call("tasks.task.list", {"order": {"ID": "asc"}, "start": 99})
    assert (last["result"]["tasks"][0]["id"], last["total"], "next" in last) == ("51", 60, False)


@pytest.mark.parametrize(
    ("method", "params", "total"),
    [
        ("crm.deal.list", KEYSET, 0),
        ("user.get", {"sort": "ID", "order": "ASC", "start": -1}, 0),
        ("voximplant.statistic.get", {"SORT": "ID", "ORDER": "ASC", "start": -1}, 0),
        ("crm.item.list", {"entityTypeId": 2, "start": -1, "order": {"id": "ASC"}}, None),
        ("crm.stagehistory.list", {"entityTypeId": 2, **KEYSET}, None),
        ("tasks.task.list", KEYSET, None),
    ],
)
def test_without_a_count_the_first_page_comes_forever(
    call: Caller, method: str, params: dict[str, Any], total: int | None
) -> None:
    """`start=-1` gives the first 50 rows, no `next`, and a total that must not be used."""
    told = call(method, params)
    assert ("next" in told, told.get("total")) == (False, total)
    assert call.ids(method, **params) == list(range(1, 51)) == call.ids(method, **params)


def test_a_keyset_walk_without_order_loses_rows(call: Caller) -> None:
    """Old lists promise no order of their own: here it is not the one that a walk needs."""
    assert call.ids("crm.deal.list", start=-1, filter={">ID": 0})[0] == 120


@pytest.mark.parametrize(
    ("method", "params", "id_key"),
    [
        ("crm.deal.list", {"order": {"ID": "ASC"}, "select": ["ID"]}, "filter"),
        ("voximplant.statistic.get", {"SORT": "ID", "ORDER": "ASC"}, "FILTER"),
        ("user.get", {"sort": "ID", "order": "ASC"}, "FILTER"),
        ("crm.stagehistory.list", {"entityTypeId": 2, "order": {"ID": "ASC"}}, "filter"),
        ("tasks.task.list", {"order": {"ID": "asc"}, "select": ["ID"]}, "filter"),
    ],
)
def test_a_keyset_walk_reads_every_row_once(call: Caller, method: str, params: dict[str, Any], id_key: str) -> None:
    seen: list[int] = []
    while page := call.ids(method, **params, **{id_key: {">ID": seen[-1] if seen else 0}}, start=-1):
        seen += page
    assert seen == list(range(1, (DEALS if method == "crm.deal.list" else 60) + 1))


def test_dictionaries_come_whole(call: Caller) -> None:
    """They ignore `start`; the currencies' total is always 0."""
    statuses = call("crm.status.list", {"start": 50})
    assert (len(statuses["result"]), statuses["total"], "next" in statuses) == (60, 60, False)
    currencies = call("crm.currency.list", {"start": -1})
    assert ([row["CURRENCY"] for row in currencies["result"]], currencies["total"]) == (["RUB", "USD"], 0)
    assert call("crm.category.list", {"entityTypeId": 2})["result"]["categories"][0]["id"] == 0
    assert call.refusal("crm.category.list", {"entityTypeId": 1}) == (400, "ENTITY_TYPE_NOT_SUPPORTED")


# ---- filters and order


def test_old_lists_drop_unknown_filter_keys_in_silence(call: Caller) -> None:
    """An incremental run with a misspelt key reads the whole table."""
    assert call("crm.deal.list", {"filter": {">=UPDATED": "2026-06-15"}})["total"] == DEALS
    assert call("user.get", {"FILTER": {"UNHEARD": 1}})["total"] == 60


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"filter": {">=DATE_MODIFY": "2026-06-15"}}, "INVALID_ARG_VALUE"),
        ({"order": {"ID": "ASC"}}, "INVALID_ARG_VALUE"),
        ({"filter": {">=updatedTime": "soon"}}, "INVALID_ARG_VALUE"),
        ({"filter": {">id": [1, 2]}}, "INVALID_ARG_VALUE"),
        ({"entityTypeId": 5}, "ENTITY_TYPE_NOT_SUPPORTED"),
        ({"entityTypeId": 128}, "NOT_FOUND"),
    ],
)
def test_the_item_list_refuses_what_it_does_not_know(call: Caller, params: dict[str, Any], code: str) -> None:
    assert call.refusal("crm.item.list", {"entityTypeId": 2, **params}) == (400, code)


def test_unknown_order_is_ignored_by_old_lists_and_refused_by_tasks(call: Caller) -> None:
    assert call("crm.deal.list", {"order": {"NOPE": "ASC"}})["total"] == DEALS
    assert call("crm.stagehistory.list", {"entityTypeId": 2, "order": {"NOPE": "ASC"}})["total"] == 60
    assert call.refusal("tasks.task.list", {"order": {"NOPE": "asc"}}) == (400, "0")
    assert call.refusal("crm.stagehistory.list", {"entityTypeId": 7}) == (400, "ENTITY_TYPE_NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ({"ID": 7}, [7]),
        ({"=ID": [7, "9"]}, [7, 9]),
        ({"@ID": [9, 7, 500]}, [7, 9]),
        ({"<=ID": 3, "!ID": 2}, [1, 3]),
        ({"<ID": 5, "!@ID": [1, 4]}, [2, 3]),
        ({">ID": "118"}, [119, 120]),
        ({">=ID": 119}, [119, 120]),
        ({"TITLE": "Сделка 12"}, [12]),
        ({"%TITLE": "делка 11", "<ID": 112}, [11, 110, 111]),
        ({"=%TITLE": "%ка 5"}, [5]),
        # a dictionary code knows no substring: `%` acts as `=`
        ({"%TYPE_ID": "SAL"}, []),
        ({"%TYPE_ID": "SALE", "<ID": 4}, [1, 3]),
        ({"<OPPORTUNITY": 2.6}, [1, 2]),
        ({">=OPPORTUNITY": "119.5"}, [119, 120]),
        ({"!COMPANY_ID": 0, "<ID": 102}, [100, 101]),
        ({"!CLOSEDATE": ""}, [1, 2]),
        # 00:02 Moscow is 21:02 of the day before in UTC: instants are compared, not texts
        ({"<=DATE_MODIFY": "2026-05-31T21:02:00+00:00"}, [1, 2]),
        ({"<=DATE_MODIFY": "2026-06-01T00:02:00"}, [1, 2]),
        ({"<=DATE_MODIFY": "01.06.2026 00:02:00"}, [1, 2]),
        ({UF_CITIES: "Тверь"}, [4]),
        # no OR groups in old lists: the keys are unknown and dropped
        ({"<ID": 3, "0": {"logic": "OR", "0": {"ID": 1}}}, [1, 2]),
    ],
)
def test_old_filters(call: Caller, conditions: dict[str, Any], ids: list[int]) -> None:
    assert call.ids("crm.deal.list", filter=conditions, order={"ID": "ASC"}) == ids


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ({">id": 118}, [119, 120]),
        ({"<=updatedTime": "2026-05-31T21:02:00+00:00"}, [1, 2]),
        ({"0": {"logic": "OR", "0": {"id": 3}, "1": {">id": 119}}}, [3, 120]),
        ({"<id": 12, "!%title": "делка 1"}, [2, 3, 4, 5, 6, 7, 8, 9]),
        ({"=ufCrm_1720019876534": "321", "<id": 2}, [1]),
        ({f"={UF_CHANNEL}": "321", "<id": 2}, [1]),
    ],
)
def test_item_filters(call: Caller, conditions: dict[str, Any], ids: list[int]) -> None:
    assert call.ids("crm.item.list", entityTypeId=2, filter=conditions, order={"id": "ASC"}) == ids


def test_other_methods_spell_filters_their_own_way(call: Caller) -> None:
    assert call.ids("user.get", ACTIVE=False) == [3]
    assert call.ids("user.get", FILTER={"@ID": [2, 3]}) == [2, 3]
    assert call.ids("voximplant.statistic.get", FILTER={"><ID": [2, 4]}, SORT="ID", ORDER="DESC") == [4, 3, 2]
    assert call.ids("department.get", ID=4) == [4]
    assert len(call.ids("department.get", **{">ID": 4})) == 50, "departments know exact filters only"
    assert call.ids("tasks.task.list", filter={"STATUS": -1}) == [2]
    assert call.ids("tasks.task.list", filter={"REAL_STATUS": 3, "<=ID": 2}, order={"ID": "asc"}) == [1, 2]


def test_an_unreadable_date_is_no_error_in_old_lists(call: Caller) -> None:
    """The condition is false for every row: an empty answer that looks like "nothing changed"."""
    assert call("crm.deal.list", {"filter": {">=DATE_MODIFY": "yesterday-ish"}})["result"] == []


def test_a_filter_that_is_no_array_is_refused_without_a_code(call: Caller) -> None:
    assert call.refusal("crm.deal.list", {"filter": "ID"}) == (400, "")


def test_order_by_other_fields(call: Caller) -> None:
    assert call.ids("crm.deal.list", order={"TYPE_ID": "DESC", "ID": "ASC"})[:2] == [2, 4]
    assert call.ids("crm.deal.list", order={"OPPORTUNITY": "DESC"}, filter={"<ID": 4}) == [3, 2, 1]


# ---- selected columns and encodings


def test_old_lists_select(call: Caller) -> None:
    """`*` holds neither custom nor multi-fields; multi-fields come only if named, and not at all when empty."""

    def keys(*select: str) -> list[set[str]]:
        return [set(row) for row in call("crm.lead.list", {"select": list(select), "order": {"ID": "ASC"}})["result"]]

    plain = {"ID", "TITLE", "STATUS_ID", "STATUS_SEMANTIC_ID", "OPPORTUNITY", "COMPANY_ID", "CONTACT_ID", "DATE_CLOSED"}
    uf = {"UF_CRM_1700000001"}
    assert keys() == [plain | uf] * 2
    assert keys("*") == [plain] * 2
    assert keys("*", "UF_*", "PHONE") == [plain | uf | {"PHONE"}, plain | uf]
    assert keys("ID", "PHONE", "NOPE") == [{"ID", "PHONE"}, {"ID"}]
    assert keys("ID", "UF_*") == [{"ID"} | uf] * 2


def test_bindings_come_only_if_named(call: Caller) -> None:
    assert set(call("crm.activity.list")["result"][0]) == {"ID", "SUBJECT", "DESCRIPTION"}
    named = call("crm.activity.list", {"select": ["ID", "BINDINGS"]})["result"][0]
    assert named == {"ID": "1", "BINDINGS": [{"OWNER_TYPE_ID": "2", "OWNER_ID": "1"}]}


def test_tasks_are_asked_in_upper_case_and_answer_in_camel_case(call: Caller) -> None:
    rows = call(
        "tasks.task.list", {"select": ["ID", "REAL_STATUS", "STATUS", "CHANGED_DATE", "GROUP_ID"], "filter": {"ID": 2}}
    )["result"]["tasks"]
    changed = "2026-06-05T09:00:00+03:00"
    assert rows == [{"id": "2", "status": "3", "subStatus": "-1", "changedDate": changed, "groupId": "0", "group": []}]


def test_items_are_camel_case_with_json_types(call: Caller) -> None:
    """The same rows as in the old lists, with other names and types."""
    row = call("crm.item.list", {"entityTypeId": 2, "filter": {"id": 5}})["result"]["items"][0]
    expected = {
        "id": 5,
        "entityTypeId": 2,
        "stageId": "NEW",
        "opportunity": 5.5,
        "companyId": 0,
        "contactIds": [7],
        "closedate": None,
        "updatedTime": "2026-06-01T00:05:00+03:00",
        "ufCrm_1720019876534": "321",
        "ufCrmMyCities": [],
    }
    assert {key: row[key] for key in expected} == expected
    original = call("crm.item.list", {"entityTypeId": 2, "filter": {"id": 5}, "useOriginalUfNames": "Y"})
    assert original["result"]["items"][0][UF_CHANNEL] == "321"
    lead = call("crm.item.list", {"entityTypeId": 1, "filter": {"id": 1}})["result"]["items"][0]
    assert (lead["stageId"], lead["opportunity"], lead["dateClosed"], lead["contactId"]) == ("NEW", 15000, None, 0)
    assert lead["fm"] == [{"id": 91, "valueType": "WORK", "value": "+70000000001", "typeId": "PHONE"}]
    assert lead["phone"] == lead["phoneWork"] == "+70000000001"
    named = call("crm.item.list", {"entityTypeId": 1, "filter": {"id": 1}, "select": ["id", "fm"]})
    assert named["result"]["items"] == [{"id": 1}], "multi-fields cannot be named"


def test_fields_are_described_in_both_ways(call: Caller) -> None:
    old = call("crm.deal.fields")["result"]
    assert (old["DATE_MODIFY"]["type"], old["DATE_MODIFY"]["isReadOnly"]) == ("datetime", True)
    assert old[UF_CHANNEL]["items"] == [{"ID": "321", "VALUE": "Радио"}]
    assert old[UF_CHANNEL]["formLabel"] == "Канал"
    new = call("crm.item.fields", {"entityTypeId": 2})["result"]["fields"]
    assert new["ufCrm_1720019876534"]["upperName"] == UF_CHANNEL
    assert new["updatedTime"]["upperName"] == "DATE_MODIFY"


def test_labels_of_custom_fields_need_a_language(call: Caller) -> None:
    rows = call("crm.deal.userfield.list")["result"]
    assert [row["FIELD_NAME"] for row in rows] == [UF_CHANNEL, UF_CITIES], "fields of leads are another method's"
    assert "EDIT_FORM_LABEL" not in rows[0]
    assert rows[0]["LIST"][0]["VALUE"] == "Радио"
    assert call("crm.deal.userfield.list", {"filter": {"LANG": "ru"}})["result"][0]["EDIT_FORM_LABEL"] == "Канал"


# ---- rows of owners


@pytest.mark.parametrize(
    "conditions",
    [{"=ownerType": "D"}, {"=ownerId": 1}, {"ownerType": "D", "ownerId": 1}, {"=ownerType": "D", "@ownerId": [1]}],
)
def test_product_rows_need_both_owner_keys_spelled_exactly(call: Caller, conditions: dict[str, Any]) -> None:
    """There is no walk over all rows: one command per owner."""
    assert call.refusal("crm.item.productrow.list", {"filter": conditions}) == (400, "100")


def test_product_rows_of_one_owner(call: Caller) -> None:
    owner = {"=ownerType": "D", "=ownerId": 1}
    first = call("crm.item.productrow.list", {"filter": owner, "order": {"id": "ASC"}})
    assert (len(first["result"]["productRows"]), first["total"], first["next"]) == (50, 60, 50)
    second = call.ids("crm.item.productrow.list", filter={**owner, ">id": 50}, order={"id": "ASC"}, start=-1)
    assert second == list(range(51, 61))
    whole = call("crm.deal.productrows.get", {"id": 1})["result"]
    assert len(whole) == 60, "this method is not paged"
    assert {"ID": "1", "OWNER_ID": "1", "PRICE": 900, "PRICE_ACCOUNT": "900.00"}.items() <= whole[0].items()
    assert call.ids("crm.productrow.list", filter={"OWNER_ID": 2, "OWNER_TYPE": "D"}) == [61]
    assert call.refusal("crm.productrow.list", {"filter": {"OWNER_ID": 2}}) == (400, "")
    assert call("crm.deal.contact.items.get", {"id": 5})["result"] == [
        {"CONTACT_ID": 7, "SORT": 100, "ROLE_ID": 0, "IS_PRIMARY": "Y"}
    ]


@pytest.mark.parametrize(("owner_array", "count"), [("in", 50), ("first", 50), ("refuse", None)])
def test_an_array_of_owners_is_an_accident(owner_array: str, count: int | None) -> None:
    portal, _ = quiet_portal(owner_array=owner_array)
    where = {"filter": {"=ownerType": "D", "=ownerId": [2, 1], ">id": 11}, "order": {"id": "DESC"}}
    status, told = ask(portal, "crm.item.productrow.list", where)
    if count is None:
        assert (status, told["error"]) == (400, "INVALID_ARG_VALUE")
    else:
        owners = {row["ownerId"] for row in told["result"]["productRows"]}
        assert owners == ({1, 2} if owner_array == "in" else {1})


def test_time_entries_take_their_parameters_by_position(call: Caller) -> None:
    """A first argument that is no number means all tasks and is the order itself."""
    paging = {"NAV_PARAMS": {"nPageSize": 50, "iNumPage": 1}}
    walk = call("task.elapseditem.getlist", [0, {"ID": "asc"}, {">ID": 50}, ["*"], paging])
    assert ([row["ID"] for row in walk["result"]][::49], walk["total"]) == (["51", "100"], 70)
    assert call.ids("task.elapseditem.getlist", **{"0": 0, "1": {"ID": "asc"}, "2": {">ID": 118}}) == [119, 120]
    named = {"TASKID": 0, "ORDER": {"ID": "asc"}, "FILTER": {">ID": 118}, "SELECT": ["*"], "PARAMS": paging}
    assert call.ids("task.elapseditem.getlist", **named) == [119, 120]
    assert call("task.elapseditem.getlist", [{"ID": "desc"}])["result"][0]["ID"] == "120"
    assert len(call("task.elapseditem.getlist", [1, {"ID": "asc"}])["result"]) == 60, "one task comes whole"
    assert call.refusal("task.elapseditem.getlist", [0, {"NOPE": "asc"}]) == (400, "ERROR_CORE")


# ---- batch


def test_batch_parts_change_their_shape(call: Caller) -> None:
    """PHP encodes an empty or numbered map as a list."""
    texts = call.batch({"a": "server.time", "b": "no.such.method"})
    assert set(texts["result"]) == set(texts["result_time"]) == {"a"}
    assert texts["result_error"]["b"]["error"] == "ERROR_METHOD_NOT_FOUND"
    assert texts["result_total"] == texts["result_next"] == []
    numbered = call.batch(["server.time", "profile"])
    assert isinstance(numbered["result"], list)
    assert numbered["result_error"] == []
    with_a_hole = call.batch({"0": "server.time", "1": "no.such.method", "2": "profile"})
    assert set(with_a_hole["result"]) == {"0", "2"}
    assert call.batch({}) == {part: [] for part in texts}


def test_batch_takes_paging_keys_of_each_command(call: Caller) -> None:
    parts = call.batch({"old": "crm.deal.list?start=0", "walk": "crm.deal.list?start=-1", "item": "profile"})
    assert (parts["result_total"], parts["result_next"]) == ({"old": 120, "walk": 0}, {"old": 50})


def test_batch_of_more_than_fifty_refuses_the_rest(call: Caller) -> None:
    parts = call.batch({f"c{n}": "server.time" for n in range(53)})
    assert len(parts["result"]) == 50
    assert {key: error["error"] for key, error in parts["result_error"].items()} == dict.fromkeys(
        ["c50", "c51", "c52"], "ERROR_BATCH_LENGTH_EXCEEDED"
    )


def test_batch_refuses_itself_and_overlooks_what_is_no_text(call: Caller) -> None:
    parts = call.batch({"a": "batch?cmd[x]=profile", "b": {"method": "profile"}, "c": "profile"})
    assert parts["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert [key for key in "abc" if key in parts["result"]] == ["c"]
    assert "b" not in parts["result_error"], "an object vanishes without result or error"


def test_halt_stops_at_the_first_failure(call: Caller) -> None:
    commands = {"a": "server.time", "b": "no.such.method", "c": "profile"}
    stopped = call.batch(commands, halt=1)
    assert (set(stopped["result"]), set(stopped["result_error"])) == ({"a"}, {"b"})
    assert set(call.batch(commands)["result"]) == {"a", "c"}


def test_batch_in_a_url_is_decoded_twice(portal: PortalControl) -> None:
    inner = command("crm.deal.list", filter={">ID": 119})
    response = HTTP.get(f"{portal.webhook_url}batch?cmd[a]={quote(inner)}")
    assert [row["ID"] for row in response.json()["result"]["result"]["a"]] == ["120"]


def test_references_pass_results_on(call: Caller) -> None:
    parts = call.batch(
        {
            "c0": command("crm.deal.list", **KEYSET, filter={">ID": 0}),
            "c1": command("crm.deal.list", **KEYSET, filter={">ID": "$result[c0][49][ID]"}),
            "counted": command("crm.deal.list", start=0),
            "after": command("crm.deal.list", order={"ID": "ASC"}, start="$next[counted]"),
            "last": command("crm.deal.list", filter={"ID": "$total[counted]"}),
            "i0": command("crm.item.list", entityTypeId=2, start=-1, order={"id": "ASC"}, filter={">id": 0}),
            "i1": command(
                "crm.item.list",
                entityTypeId=2,
                start=-1,
                order={"id": "ASC"},
                filter={">id": "$result[i0][items][49][id]"},
            ),
        }
    )["result"]
    assert parts["c1"][0]["ID"] == parts["after"][0]["ID"] == "51"
    assert parts["last"][0]["ID"] == "120"
    assert parts["i1"]["items"][0]["id"] == 51


def test_a_chain_begins_again_after_a_short_page(call: Caller) -> None:
    """The reference into a page shorter than 50 becomes the page itself, and an array against an id is 1."""
    parts = call.batch(
        {
            "c0": command("crm.deal.list", **KEYSET, filter={">ID": 100}),
            "c1": command("crm.deal.list", **KEYSET, filter={">ID": "$result[c0][49][ID]"}),
            "none": command("crm.deal.list", **KEYSET, filter={">ID": 120}),
            "c3": command("crm.deal.list", **KEYSET, filter={">ID": "$result[none][49][ID]"}),
            "i0": command("crm.item.list", entityTypeId=2, order={"id": "ASC"}, filter={">id": 100}),
            "i1": command(
                "crm.item.list", entityTypeId=2, order={"id": "ASC"}, filter={">id": "$result[i0][items][49][id]"}
            ),
        }
    )
    assert len(parts["result"]["c0"]) == 20
    assert [row["ID"] for row in parts["result"]["c1"]] == [str(n) for n in range(2, 52)]
    assert parts["result"]["c3"][0]["ID"] == "1", "an empty page is the array that becomes 0"
    assert parts["result_error"]["i1"]["error"] == "INVALID_ARG_VALUE"


def test_a_raw_plus_in_a_command_is_a_space(call: Caller) -> None:
    """The corrupted date is no error: the page is empty."""
    since = "2026-06-01T01:59:00+03:00"
    parts = call.batch(
        {
            "raw": f"crm.deal.list?filter[%3E%3DDATE_MODIFY]={since}",
            "encoded": f"crm.deal.list?filter[%3E%3DDATE_MODIFY]={quote(since)}&order[ID]=ASC",
            # the pair is cut at its first `=`, so the condition is lost and the whole table comes
            "bare": f"crm.deal.list?filter[>=DATE_MODIFY]={quote(since)}",
        }
    )
    assert parts["result"]["raw"] == []
    assert [row["ID"] for row in parts["result"]["encoded"]] == ["119", "120"]
    assert parts["result_total"]["bare"] == DEALS


def test_query_keys_are_nested_as_php_does() -> None:
    assert parse_query("a[b][]=1&a[b][]=2&c=x%20y+z&d") == {"a": {"b": {"0": "1", "1": "2"}}, "c": "x y z", "d": ""}


# ---- limits


def test_the_bucket_lets_a_burst_in_and_then_leaks() -> None:
    """A batch of 50 costs one drop like any other request."""
    portal, ticks = quiet_portal(rate=2.0, burst=5)
    batch = {"cmd": {f"c{n}": "server.time" for n in range(50)}}
    statuses = [ask(portal, "batch", batch)[0] for _ in range(6)]
    assert statuses == [200] * 5 + [503]
    assert ask(portal, "profile") == (503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"})
    ticks.seconds += 1
    assert [ask(portal, "profile")[0] for _ in range(3)] == [200, 200, 503]
    assert portal.statistics.refusals == {"503": 3}


def test_a_spent_budget_blocks_one_method_until_its_buckets_leave() -> None:
    """The call that crosses the line completes; the next is refused even if it is bad; other methods go on."""
    portal, ticks = quiet_portal(operating_budget=10, operating_window=100, seconds_per_command=6, seconds_per_row=0)
    assert [ask(portal, "crm.deal.list")[0] for _ in range(3)] == [200, 200, 429]
    assert ask(portal, "crm.deal.list", {"filter": "bad"})[1]["error"] == "OPERATION_TIME_LIMIT"
    assert ask(portal, "crm.lead.list")[0] == 200
    ticks.seconds += 50
    assert ask(portal, "crm.deal.list")[0] == 429
    ticks.seconds += 50
    assert ask(portal, "crm.deal.list")[0] == 200


def test_a_budget_may_come_back_in_parts() -> None:
    """When the oldest bucket leaves, the sum drops only by what was in it."""
    portal, ticks = quiet_portal(operating_budget=12, operating_window=100, seconds_per_command=6, seconds_per_row=0)
    ask(portal, "profile")
    ticks.seconds += 40
    ask(portal, "profile")
    assert ask(portal, "profile")[0] == 429
    ticks.seconds += 60
    assert ask(portal, "profile")[1]["time"]["operating"] == pytest.approx(12)
    assert ask(portal, "profile")[0] == 429


def test_a_spent_budget_inside_a_batch_is_an_inner_error() -> None:
    portal, _ = quiet_portal(operating_budget=10, seconds_per_command=6, seconds_per_row=0)
    status, told = ask(portal, "batch", {"cmd": {"a": "profile", "b": "profile", "c": "profile", "d": "server.time"}})
    assert status == 200
    assert set(told["result"]["result"]) == {"a", "b", "d"}
    assert told["result"]["result_error"]["c"]["error"] == "OPERATION_TIME_LIMIT"
    assert told["time"]["operating"] == 0, "the batch itself has no budget"
    assert portal.statistics.refusals == {"429": 1}


def test_a_request_that_works_too_long_ends_in_the_gateway() -> None:
    portal, _ = quiet_portal(seconds_per_command=2)
    heavy = {"cmd": {f"c{n}": "server.time" for n in range(31)}}
    reply = portal.receive("1", CODE, "batch", heavy)
    assert (reply.status, reply.content_type) == (504, "text/html")
    del heavy["cmd"]["c30"]
    assert ask(portal, "batch", heavy)[0] == 200


def test_real_time_sleeps_what_it_accounts() -> None:
    portal, _ = quiet_portal(seconds_per_command=0.5, seconds_per_row=0.01, real_time=True)
    assert portal.receive("1", CODE, "crm.deal.list", {}).delay_s == pytest.approx(1.0)


def test_the_clock_ticks_but_never_far_from_the_data() -> None:
    """Days that pass later begin where the data ends: a reader's overlap has to cover what the clock ran ahead."""
    portal, ticks = quiet_portal(burst=10)
    ticks.seconds += 2
    assert ask(portal, "server.time")[1]["result"] == "2026-06-15T12:00:01+03:00"
    ticks.seconds += 36_000
    assert ask(portal, "server.time")[1]["result"] <= "2026-06-15T12:05:00+03:00"
    portal.advance(1)
    assert ask(portal, "server.time")[1]["result"] == "2026-06-16T12:00:00+03:00"


# ---- faults


def faulty(plan: dict[str, Any], **options: Any) -> Portal:
    return quiet_portal(limits=False, faults=FaultPlan.from_json(plan), **options)[0]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("limit_503", 503, "QUERY_LIMIT_EXCEEDED"),
        ("overload_503", 503, "OVERLOAD_LIMIT"),
        ("limit_429", 429, "OPERATION_TIME_LIMIT"),
        ("error_500", 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_json_refusals(fault: str, status: int, code: str) -> None:
    told = ask(faulty({fault: 1.0}), "profile")
    assert (told[0], told[1]["error"]) == (status, code)


@pytest.mark.parametrize("status", [200, 502, 503, 504])
def test_html_instead_of_json(status: int) -> None:
    """A maintenance page may come under any status, 200 included."""
    reply = faulty({f"html_{status}": 1.0}).receive("1", CODE, "profile", {})
    assert (reply.status, reply.content_type) == (status, "text/html")
    assert reply.body.startswith(b"<html>")


def test_an_injected_limit_hits_one_command_of_a_batch() -> None:
    status, told = ask(faulty({"limit_429": 1.0}), "batch", {"cmd": {f"c{n}": "server.time" for n in range(10)}})
    errors = [error["error"] for error in told["result"]["result_error"].values()]
    assert (status, errors, len(told["result"]["result"])) == (200, ["OPERATION_TIME_LIMIT"], 9)


def test_a_revoked_webhook_is_refused_everything(own_portal: PortalControl, own_call: Caller) -> None:
    own_portal.faults({"revoked": True})
    for method in ("profile", "batch", "no.such.method"):
        assert own_call.refusal(method) == (401, "NO_AUTH_FOUND")
    own_portal.faults({})
    assert own_call("profile")["result"]["ID"] == "1"


def test_a_renamed_portal_redirects(own_portal: PortalControl) -> None:
    own_portal.faults({"redirect": "http://127.0.0.1:9/"})
    response = HTTP.post(own_portal.webhook_url + "profile", json={})
    assert response.status_code == 302
    assert response.headers["location"] == f"http://127.0.0.1:9/rest/1/{CODE}/profile"


def test_missing_scopes_refuse_their_methods_only(own_portal: PortalControl, own_call: Caller) -> None:
    own_portal.faults({"missing_scopes": ["task", "telephony"], "not_admin": True})
    assert own_call.refusal("tasks.task.list") == (403, "insufficient_scope")
    parts = own_call.batch({"calls": "voximplant.statistic.get", "deals": "crm.deal.list"})
    assert parts["result_error"]["calls"]["error"] == "insufficient_scope"
    assert len(parts["result"]["deals"]) == 50
    assert not {"task", "telephony"} & set(own_call("scope")["result"])
    assert own_call("profile")["result"]["ADMIN"] is False
    assert own_call("method.get", {"name": "tasks.task.list"})["result"] == {"isExisting": True, "isAvailable": False}


def test_connections_break(own_portal: PortalControl, own_call: Caller) -> None:
    """A reset before the first byte, then a body shorter than promised; the next request is served."""
    own_portal.faults({"script": ["reset", "truncate", "none"]})
    with pytest.raises(httpx.ReadError):
        own_call("crm.deal.list")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        own_call("crm.deal.list")
    assert len(own_call("crm.deal.list")["result"]) == 50
    assert own_portal.stats()["faults"] == {"reset": 1, "truncate": 1}


def test_a_slow_answer_outlasts_the_client(own_portal: PortalControl) -> None:
    own_portal.faults({"script": ["slow"], "slow_seconds": 5})
    with pytest.raises(httpx.ReadTimeout):
        HTTP.get(own_portal.webhook_url + "profile", timeout=0.2)


def test_faults_are_the_same_for_the_same_seed() -> None:
    def statuses(seed: int) -> list[int]:
        plan = {"html_502": 0.3, "limit_503": 0.3}
        portal = faulty(plan, seed=seed)
        return [portal.receive("1", CODE, "profile", {}).status for _ in range(200)]

    assert statuses(1) == statuses(1) != statuses(2)
    assert all(statuses(1).count(status) > 20 for status in (200, 502, 503))


@pytest.mark.parametrize(
    "plan", [{"htlm_502": 0.1}, {"html_502": 1.5}, {"html_502": 0.6, "reset": 0.6}, {"script": ["rest"]}]
)
def test_a_misspelt_plan_is_refused(own_portal: PortalControl, plan: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown faults|probabilities"):
        own_portal.faults(plan)


def test_a_plan_can_be_written_on_the_command_line() -> None:
    plan = FaultPlan.from_text("html_502=0.05, missing_scopes=task+telephony,revoked=1,script=none+reset")
    assert plan == FaultPlan(
        html_502=0.05, missing_scopes=["task", "telephony"], revoked=True, script=["none", "reset"]
    )


# ---- data that changes while it is read


def test_a_deletion_shifts_the_pages_of_offsets_but_not_of_keys(own_portal: PortalControl, own_call: Caller) -> None:
    """An offset reader skips a row, a keyset reader does not."""
    assert own_call.ids("crm.deal.list", order={"ID": "ASC"}, start=0)[-1] == 50
    own_portal.mutate("delete", table="deals", row_id=3)
    assert own_call.ids("crm.deal.list", order={"ID": "ASC"}, start=50)[0] == 52
    assert own_call.ids("crm.deal.list", order={"ID": "ASC"}, filter={">ID": 50}, start=-1)[0] == 51
    assert own_call("crm.stagehistory.list", {"entityTypeId": 2, "filter": {"OWNER_ID": 3}})["total"] == 0


def test_inserts_and_updates_carry_the_portals_time(own_portal: PortalControl, own_call: Caller) -> None:
    inserted = own_portal.mutate("insert", table="deals", row_id=1)
    assert inserted == {"operation": "insert", "table": "deals", "id": 121}
    own_portal.mutate("update", table="deals", row_id=2, values={"TITLE": "Другое"})
    since = {">=DATE_MODIFY": "2026-06-15T12:00:00+03:00"}
    rows = own_call("crm.deal.list", {"filter": since, "order": {"ID": "ASC"}, "select": ["ID", "TITLE"]})["result"]
    assert rows == [{"ID": "2", "TITLE": "Другое"}, {"ID": "121", "TITLE": "Сделка 1"}]
    history = own_call("crm.stagehistory.list", {"entityTypeId": 2, "filter": {"OWNER_ID": 121}})["result"]["items"]
    assert [(row["ID"], row["TYPE_ID"], row["STAGE_ID"]) for row in history] == [(61, 1, "NEW")]


def test_rows_change_between_requests_when_planned(own_portal: PortalControl, own_call: Caller) -> None:
    def rows() -> int:
        return sum(own_call(f"crm.{name}.list")["total"] for name in ("deal", "lead"))

    assert rows() == DEALS + 2
    own_portal.faults({"script": ["insert"]})
    assert rows() == DEALS + 3
    own_portal.faults({"script": ["delete"]})
    assert rows() == DEALS + 2
    own_portal.faults({"update": 1.0})
    changed = sum(
        own_call(f"crm.{name}.list", {"filter": {">=DATE_MODIFY": NOW.isoformat()}})["total"]
        for name in ("deal", "lead")
    )
    assert changed >= 1
    assert own_portal.stats()["mutations"] == {"insert": 1, "delete": 1, "update": 2}


# ---- the control API and the ways to run it


def test_what_was_asked_is_counted(own_portal: PortalControl, own_call: Caller) -> None:
    own_call.batch({"a": "crm.deal.list?start=-1", "b": "crm.deal.list?start=100", "c": "profile", "d": "no.such"})
    own_call("crm.deal.list")
    stats = own_portal.stats()
    assert (stats["requests"], stats["batches"]) == (2, 1)
    assert stats["commands"] == {"crm.deal.list": 3, "profile": 1, "no.such": 1}
    assert stats["batch_commands"] == {"crm.deal.list": 2, "profile": 1, "no.such": 1}
    assert (stats["pages"], stats["rows"]) == ({"crm.deal.list": 3}, {"crm.deal.list": 120})
    assert stats["errors"] == {"ERROR_METHOD_NOT_FOUND": 1}
    assert stats["operating_seconds"]["crm.deal.list"] == pytest.approx(3 * 0.02 + 120 * 0.0002)
    own_portal.reset_stats()
    assert own_portal.stats()["requests"] == 0


def test_days_pass_on_request(own_portal: PortalControl, own_call: Caller) -> None:
    own_portal.advance(2, deletions=True)
    assert own_call("server.time")["result"] == "2026-06-17T12:00:00+03:00"
    assert own_call.ids("crm.deal.list", order={"ID": "ASC"})[0] == 2
    assert own_portal.truth()["meta"]["now"] == "2026-06-17T12:00:00+03:00"


def test_truth_and_inputs_are_written_again_after_each_day(tmp_path: Path) -> None:
    portal, _ = quiet_portal(truth_folder=tmp_path / "truth", inputs_folder=tmp_path / "in")
    truth = tmp_path / "truth" / "truth.json"
    assert orjson.loads(truth.read_bytes())["meta"]["now"].startswith("2026-06-15")
    portal.advance(1)
    assert orjson.loads(truth.read_bytes())["meta"]["now"].startswith("2026-06-16")
    assert (tmp_path / "in" / "ad_spend.csv").exists()


def test_the_webhook_is_in_no_log_and_no_repr(portal: PortalControl, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="demo.portal"):
        HTTP.get(portal.webhook_url + "profile")
        HTTP.get(portal.webhook_url + "no.such.method")
    told = [record.getMessage() for record in caplog.records if record.name == "demo.portal"]
    assert len(told) == 2
    assert CODE not in repr(told) + repr(portal) + repr(PortalOptions(code=CODE))


def test_a_process_serves_and_stops_cleanly(tmp_path: Path) -> None:
    """The command's whole way: generate, listen, answer, write the truth, end on SIGTERM with success."""
    with PortalProcess.start(seed=3, deals=60, frozen=True, dump_truth=tmp_path, code=CODE) as portal:
        assert portal.webhook_url.endswith(f"/{CODE}/")
        told = HTTP.get(portal.webhook_url + "crm.deal.list").json()
        command_line = Path(f"/proc/{portal.pid}/cmdline").read_bytes()
        assert portal.stop() == 0
    truth = orjson.loads((tmp_path / "truth.json").read_bytes())
    assert told["total"] == len(truth["deals"])
    assert CODE.encode() not in command_line


def test_a_process_ends_with_its_parent() -> None:
    """A parent killed by SIGKILL leaves no portal behind."""
    script = (
        "import time; from demo.server import PortalProcess\n"
        "print(PortalProcess.start(seed=3, deals=20).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_running(pid)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="unknown faults: nonsense"):
        PortalProcess.start(seed=3, deals=20, faults="nonsense=1")
