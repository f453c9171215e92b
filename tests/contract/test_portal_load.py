"""The stand-in portal as a yardstick: many requests at once, millions of rows, webhooks, and data that drifts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest

from demo.server import FaultPlan, Portal, PortalControl, PortalOptions, PortalProcess, running_portal
from demo.world import World
from demo.world.fields import SPECS
from demo.world.generated import GeneratedDeals

NOW = datetime(2026, 6, 15, 12, tzinfo=timezone(timedelta(hours=3)))
CODE = "abcdefgh12345678"
WALK = {"start": -1, "order": {"ID": "ASC"}}
ENUMERATION, NUMBER, SEVERAL = "UF_CRM_1717100010", "UF_CRM_1717100002", "UF_CRM_1717100011"


def small_world() -> World:
    return World.generate(5, 70, NOW)


@pytest.fixture(scope="module")
def shared_world() -> World:
    """A world that tests only read."""
    return small_world()


def quiet_portal(world: World, **options: Any) -> Portal:
    """Return a portal that is asked without HTTP, on time that stands still."""
    options = {"code": CODE, "limits": False, "frozen": True, **options}
    return Portal(world, PortalOptions(**options), monotonic=lambda: 1000.0)


def ask(portal: Portal, method: str, params: Mapping[str, Any] | None = None, webhook: int = 0) -> tuple[int, Any]:
    user_id, code = portal.webhooks[webhook]
    reply = portal.receive(str(user_id), code, method, dict(params or {}))
    return reply.status, orjson.loads(reply.body)


def result(portal: Portal, method: str, **params: Any) -> Any:
    status, told = ask(portal, method, params)
    assert status == 200, told
    return told["result"]


def ids(portal: Portal, **params: Any) -> list[int]:
    return [int(row["ID"]) for row in result(portal, "crm.deal.list", select=["ID"], **{**WALK, **params})]


def batch(portal: Portal, commands: Mapping[str, str]) -> Any:
    return result(portal, "batch", cmd=dict(commands))


def page_of(last_id: object) -> str:
    pairs = [("order[ID]", "ASC"), ("start", -1), ("filter[>ID]", last_id), ("select[]", "*"), ("select[]", "UF_*")]
    return f"crm.deal.list?{urlencode(pairs)}"


# ---- pages as bytes


def test_a_chain_of_pages_gives_every_row_as_it_is(shared_world: World) -> None:
    """Rows encoded ahead are the rows themselves, and references look into them."""
    portal = quiet_portal(shared_world)
    for _ in range(2):  # fresh, then from what was kept
        parts = batch(portal, {"c0": page_of(0), "c1": page_of("$result[c0][49][ID]")})
        assert [*parts["result"]["c0"], *parts["result"]["c1"]] == list(shared_world.tables["deals"].rows.values())


def test_a_kept_row_is_encoded_anew_once_it_changes() -> None:
    portal = quiet_portal(small_world())
    chosen = next(iter(portal.world.tables["deals"].rows))
    where = {"filter": {"ID": chosen}, "select": ["TITLE"]}
    assert result(portal, "crm.deal.list", **where) != [{"TITLE": "Новое"}]
    portal.mutate("update", table="deals", row_id=chosen, values={"TITLE": "Новое"})
    assert result(portal, "crm.deal.list", **where) == [{"TITLE": "Новое"}]


def test_selections_are_kept_apart(shared_world: World) -> None:
    """The same row under another selection, or another spelling of its custom fields, is another text."""
    portal = quiet_portal(shared_world)
    assert set(result(portal, "crm.deal.list", select=["ID"], **WALK)[0]) == {"ID"}
    assert set(result(portal, "crm.deal.list", select=["ID", "TITLE"], **WALK)[0]) == {"ID", "TITLE"}
    walk = {"entityTypeId": 2, "order": {"id": "ASC"}, "start": -1}
    original = result(portal, "crm.item.list", **walk, useOriginalUfNames="Y")["items"][0]
    renamed = result(portal, "crm.item.list", **walk)["items"][0]
    assert any(key.startswith("UF_") for key in original)
    assert not any(key.startswith("UF_") for key in renamed)


def test_requests_in_flight_do_not_wait_for_each_other(shared_world: World) -> None:
    """In real time each batch takes as long as its work, whatever else is asked meanwhile."""
    options = PortalOptions(code=CODE, limits=False, real_time=True, seconds_per_command=0.02, seconds_per_row=0.0)
    commands = {f"c{number}": "server.time" for number in range(25)}

    async def ask_at_once(url: str) -> list[int]:
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            requests = [http.post(url + "batch", json={"cmd": commands}, timeout=30) for _ in range(10)]
            return [answer.status_code for answer in await asyncio.gather(*requests)]

    with running_portal(shared_world, options) as portal:
        began = time.monotonic()
        assert asyncio.run(ask_at_once(portal.webhook_url)) == [200] * 10
        took = time.monotonic() - began
        stats = portal.stats()
    assert 0.5 <= took < 2.5, "ten times half a second of work, side by side"
    assert stats["in_flight_max"] >= 5
    assert stats["in_flight"] == 0
    assert 0 <= stats["first_request_s"] <= stats["last_answer_s"] - 0.5
    assert stats["bytes_sent"] > 10_000
    assert (stats["requests"], stats["commands"]) == (10, {"server.time": 250})
    assert stats["operating_seconds"] == {"server.time": pytest.approx(5.0)}


# ---- deals made on the fly


@pytest.fixture(scope="module")
def large(shared_world: World) -> Portal:
    return quiet_portal(shared_world, generated_deals=5_000_000)


def test_millions_of_deals_are_read_from_any_place(large: Portal) -> None:
    """Keyset pages, id windows, the newest id and the count cost nothing that grows with the table."""
    assert ids(large, filter={">ID": 4_321_000}) == list(range(4_321_001, 4_321_051))
    assert ids(large, filter={">ID": 100, "<=ID": 150}) == list(range(101, 151))
    assert ids(large, filter={">ID": 4_999_990}) == list(range(4_999_991, 5_000_001))
    assert ids(large, order={"ID": "DESC"})[0] == 5_000_000
    assert ids(large, filter={"@ID": [7, 5_000_001, "12"]}) == [7, 12]
    status, told = ask(large, "crm.deal.list", {"filter": {"<=ID": 123_456}, "start": 0})
    assert (status, told["total"], told["next"]) == (200, 123_456, 50)


def test_a_change_filter_finds_the_newest_of_millions(large: Portal) -> None:
    since = (NOW - timedelta(hours=6)).isoformat()
    rows = result(large, "crm.deal.list", filter={">=DATE_MODIFY": since}, select=["ID", "DATE_MODIFY"], **WALK)
    first = int(rows[0]["ID"])
    assert ids(large, filter={">=DATE_MODIFY": since, ">ID": first}) == list(range(first + 1, first + 51))
    before = result(large, "crm.deal.list", filter={"ID": first - 1}, select=["DATE_MODIFY"])
    assert before[0]["DATE_MODIFY"] < since <= rows[0]["DATE_MODIFY"]
    assert ids(large, filter={">DATE_MODIFY": NOW.isoformat()}) == ids(large, filter={">DATE_MODIFY": "soon"}) == []


def test_rows_made_on_the_fly_look_like_the_others(shared_world: World, large: Portal) -> None:
    """The same columns, in both list methods; the bytes of a page are the row as its table has it."""
    deals = GeneratedDeals(list(shared_world.tables["deals"].rows.values()), 5_000_000, int(NOW.timestamp()))
    row = result(large, "crm.deal.list", filter={"ID": 2_500_000})[0]
    assert row == deals.rows[2_500_000]
    known = set(SPECS_OF_DEALS) | set(next(iter(shared_world.tables["deals"].rows.values())))
    assert set(row) <= known
    item = result(large, "crm.item.list", entityTypeId=2, filter={"id": 2_500_000})["items"][0]
    assert (item["id"], item["updatedTime"]) == (2_500_000, row["DATE_MODIFY"])
    assert item["opportunity"] == pytest.approx(float(row["OPPORTUNITY"]))
    assert row["DATE_CREATE"] <= row["DATE_MODIFY"] <= NOW.isoformat()
    assert 2_500_000 in deals.rows
    assert 5_000_001 not in deals.rows


SPECS_OF_DEALS = {spec.code for spec in SPECS["CRM_DEAL"]}


def test_other_filters_of_generated_deals_look_at_every_row(shared_world: World) -> None:
    portal = quiet_portal(shared_world, generated_deals=400)
    stages = {row["ID"]: row["STAGE_ID"] for start in range(0, 400, 50) for row in rows_after(portal, start)}
    expected = [int(row_id) for row_id, stage in stages.items() if stage == "NEW"]
    assert ids(portal, filter={"STAGE_ID": "NEW"}) == expected[:50]
    by_stage = result(portal, "crm.deal.list", order={"STAGE_ID": "ASC", "ID": "ASC"}, select=["STAGE_ID"], start=-1)
    assert by_stage[0]["STAGE_ID"] == min(stages.values())


def rows_after(portal: Portal, last_id: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result(portal, "crm.deal.list", filter={">ID": last_id}, **WALK)
    return rows


def test_gaps_are_the_same_each_time(shared_world: World) -> None:
    """Dense windows lose rows to nobody: ids that are left out are left out for good."""
    portals = [quiet_portal(shared_world, generated_deals=2000, id_gaps=0.3) for _ in range(2)]
    walks = []
    for portal in portals:
        walk: list[int] = []
        while page := ids(portal, filter={">ID": walk[-1] if walk else 0}):
            walk += page
        walks.append(walk)
        windows = [n for low in range(0, 2000, 50) for n in ids(portal, filter={">ID": low, "<=ID": low + 50})]
        assert windows == walk
    assert walks[0] == walks[1]
    assert 1250 < len(walks[0]) < 1550
    summary = portals[0].truth()["meta"]["generated_deals"]
    assert summary == {"count": len(walks[0]), "last_id": 2000, "id_sum": sum(walks[0])}


def test_days_bring_more_generated_deals() -> None:
    """A delta run finds the new ones and nothing else; the world's own deals are out of reach."""
    portal = quiet_portal(small_world(), generated_deals=73_000)
    portal.advance(2)
    fresh = result(portal, "crm.deal.list", filter={">DATE_MODIFY": NOW.isoformat()}, select=["ID"], start=0)
    assert len(fresh) == 50
    assert ask(portal, "crm.deal.list", {"filter": {">ID": 73_000}})[1]["total"] == 200
    assert ids(portal, filter={">DATE_MODIFY": NOW.isoformat()})[0] == 73_001
    assert portal.truth()["deals"] == []
    assert portal.truth()["contacts"]
    with pytest.raises(ValueError, match="cannot be changed"):
        portal.mutate("delete", table="deals", row_id=1)


# ---- several webhooks


def test_each_webhook_has_a_budget_of_its_own_and_the_bucket_is_common(shared_world: World) -> None:
    options = {"operating_budget": 10, "seconds_per_command": 6, "seconds_per_row": 0, "burst": 7}
    portal = quiet_portal(shared_world, webhooks=3, limits=True, **options)
    assert len(set(portal.webhooks)) == len({webhook.user_id for webhook in portal.webhooks}) == 3
    assert portal.webhooks[0] == (portal.user_id, CODE)
    assert [ask(portal, "crm.deal.list", webhook=0)[0] for _ in range(3)] == [200, 200, 429]
    assert [ask(portal, "crm.deal.list", webhook=1)[0] for _ in range(3)] == [200, 200, 429]
    assert ask(portal, "profile", webhook=2)[1]["result"]["ID"] == str(portal.webhooks[2].user_id)
    assert ask(portal, "profile", webhook=2)[0] == 503, "seven requests, whoever sent them"
    assert CODE not in repr(portal.webhooks)


def test_a_code_opens_the_door_of_its_own_user_only(shared_world: World) -> None:
    portal = quiet_portal(shared_world, webhooks=2)
    first, second = portal.webhooks
    assert portal.receive(str(first.user_id), second.code, "profile", {}).status == 401
    with pytest.raises(ValueError, match="only"):
        quiet_portal(shared_world, webhooks=10_000)


def test_a_process_lists_all_its_webhooks() -> None:
    with PortalProcess.start(seed=3, deals=20, generated_deals=500, id_gaps=0.1, webhooks=3) as portal:
        assert len(set(portal.webhook_urls)) == 3
        assert portal.webhook_url == portal.webhook_urls[0]
        with httpx.Client(trust_env=False, verify=False) as http:
            answers = [http.get(url + "crm.deal.list").json() for url in portal.webhook_urls]
    assert [answer["total"] for answer in answers] == [answers[0]["total"]] * 3
    assert 400 < answers[0]["total"] < 500


# ---- identity that changes


def test_merged_duplicates_leave_their_relations_to_the_survivor() -> None:
    """A reader sees ids vanish, and rows that name another id than yesterday."""
    world = small_world()
    deals, contacts = world.tables["deals"].rows, world.tables["contacts"].rows
    linked = [int(row["CONTACT_ID"]) for row in deals.values() if int(row["CONTACT_ID"] or 0) in contacts]
    loser = linked[0]
    survivor = next(contact for contact in contacts if contact != loser)
    world.merge("contacts", [survivor, loser])
    named = [row for row in deals.values() if row["CONTACT_ID"] == str(survivor)]
    assert loser not in contacts
    assert str(loser) not in {row["CONTACT_ID"] for row in deals.values()}
    assert linked.count(loser) + linked.count(survivor) == len(named)
    assert contacts[survivor]["DATE_MODIFY"] == named[0]["DATE_MODIFY"] == NOW.isoformat()
    for row in world.tables["activities"].rows.values():
        bound = [(one["OWNER_TYPE_ID"], one["OWNER_ID"]) for one in row["BINDINGS"]]
        assert ("3", str(loser)) not in bound
        assert len(bound) == len(set(bound))
    truth = world.truth()
    assert truth["merged"]["contacts"] == [[survivor, loser]]
    assert truth["deleted"]["contacts"] == [loser]
    with pytest.raises(ValueError, match="no such rows"):
        world.merge("contacts", [survivor, loser])


def test_a_silent_merge_marks_nothing_but_the_survivor() -> None:
    world = small_world()
    deals, companies = world.tables["deals"].rows, world.tables["companies"].rows
    strangers = [n for n, row in companies.items() if row["IS_MY_COMPANY"] == "N"]
    loser = next(int(row["COMPANY_ID"]) for row in deals.values() if int(row["COMPANY_ID"] or 0) in strangers)
    survivor = next(n for n in strangers if n != loser)
    before = {n: row["DATE_MODIFY"] for n, row in deals.items()}
    world.merge("companies", [survivor, loser], silent=True)
    assert {n: row["DATE_MODIFY"] for n, row in deals.items()} == before
    assert companies[survivor]["DATE_MODIFY"] == NOW.isoformat()


def test_a_restored_deal_has_a_new_id_and_a_new_history() -> None:
    world = small_world()
    world.advance(1, deletions=True)
    gone = world.deleted["deals"][0]
    new_id = world.restore("deals", gone)
    row = world.tables["deals"].rows[new_id]
    history = [entry for entry in world.tables["deal_stage_history"].rows.values() if entry["OWNER_ID"] == new_id]
    assert gone not in world.tables["deals"].rows
    assert new_id > gone
    assert (row["ID"], row["DATE_MODIFY"]) == (str(new_id), world.now.isoformat())
    assert row["DATE_CREATE"] < row["DATE_MODIFY"], "it is as old as it was"
    assert [(entry["TYPE_ID"], entry["STAGE_ID"]) for entry in history] == [(1, row["STAGE_ID"])]
    assert world.truth()["restored"]["deals"] == [[gone, new_id]]
    with pytest.raises(ValueError, match="recycle bin"):
        world.restore("deals", gone)
    world.advance(3)


@pytest.fixture
def control() -> Iterator[PortalControl]:
    """A portal that a test may disturb."""
    with running_portal(small_world(), PortalOptions(code=CODE, limits=False, frozen=True)) as portal:
        yield portal


def test_days_can_end_with_merges_and_restores(control: PortalControl) -> None:
    """Restores work without earlier deletions, and what happened is told."""
    control.advance(1, merges=True, restores=True)
    truth = control.truth()
    assert {table: len(pairs) for table, pairs in truth["merged"].items()} == {
        "contacts": 2,
        "companies": 1,
        "deals": 1,
        "leads": 1,
    }
    assert {table: len(pairs) for table, pairs in truth["restored"].items()} == {"deals": 2, "contacts": 1}
    for table in ("deals", "contacts"):
        living = {int(row["ID"]) for row in truth[table]}
        assert living.isdisjoint(truth["deleted"][table])
        assert {new_id for _, new_id in truth["restored"][table]} <= living
    control.advance(1)
    with pytest.raises(ValueError, match="unknown: deletion"):
        control._post("advance", {"days": 1, "deletion": True})


# ---- custom fields that drift


@pytest.fixture
def drifting() -> Portal:
    return quiet_portal(small_world())


def values(portal: Portal, name: str) -> list[Any]:
    rows = result(portal, "crm.deal.list", **WALK) + result(portal, "crm.deal.list", **WALK, filter={">ID": 50})
    return [row[name] for row in rows if name in row]


def definition(portal: Portal, name: str) -> dict[str, Any] | None:
    rows = result(portal, "crm.deal.userfield.list", filter={"LANG": "ru", "FIELD_NAME": name})
    return rows[0] if rows else None


def change(portal: Portal, operation: str, name: str, **details: Any) -> dict[str, Any]:
    return portal.change_custom_field(operation, "CRM_DEAL", name, **details)


def test_a_field_is_added_and_filled_from_then_on(drifting: Portal) -> None:
    change(drifting, "add", "UF_CRM_NEW", label="Новое", user_type="integer")
    told = definition(drifting, "UF_CRM_NEW")
    assert told
    assert (told["USER_TYPE_ID"], told["EDIT_FORM_LABEL"], told["MULTIPLE"]) == ("integer", "Новое", "N")
    assert set(values(drifting, "UF_CRM_NEW")) == {None}
    drifting.advance(30)
    assert any(row.get("UF_CRM_NEW") for row in drifting.world.tables["deals"].rows.values())
    with pytest.raises(ValueError, match="already"):
        change(drifting, "add", "UF_CRM_NEW")


def test_a_field_is_renamed_and_removed(drifting: Portal) -> None:
    assert values(drifting, NUMBER)
    change(drifting, "rename", NUMBER, label="Иначе")
    told = definition(drifting, NUMBER)
    assert told
    assert told["LIST_COLUMN_LABEL"] == "Иначе"
    change(drifting, "remove", NUMBER)
    assert definition(drifting, NUMBER) is None
    assert NUMBER not in result(drifting, "crm.deal.fields")
    assert values(drifting, NUMBER) == []
    drifting.advance(20)
    assert not any(NUMBER in row for row in drifting.world.tables["deals"].rows.values())


def test_a_field_of_another_type_shows_its_values_in_another_shape(drifting: Portal) -> None:
    before = values(drifting, ENUMERATION)
    texts = {item["ID"]: item["VALUE"] for item in (definition(drifting, ENUMERATION) or {})["LIST"]}
    old_id = (definition(drifting, ENUMERATION) or {})["ID"]
    told = change(drifting, "retype", ENUMERATION, user_type="string")
    assert (told["USER_TYPE_ID"], "LIST" in told, told["ID"] != old_id) == ("string", False, True)
    assert values(drifting, ENUMERATION) == [texts.get(value, value) for value in before]
    numbers = values(drifting, NUMBER)
    change(drifting, "retype", NUMBER, user_type="money")
    assert values(drifting, NUMBER) == [f"{value}.00|RUB" if value else value for value in numbers]
    drifting.advance(10)


def test_a_field_turns_multiple_and_back(drifting: Portal) -> None:
    before = values(drifting, NUMBER)
    change(drifting, "multiple", NUMBER)
    assert values(drifting, NUMBER) == [[value] if value else False for value in before]
    assert result(drifting, "crm.deal.fields")[NUMBER]["isMultiple"] is True
    change(drifting, "multiple", NUMBER, multiple=False)
    assert values(drifting, NUMBER) == [value or "" for value in before]
    lists = values(drifting, SEVERAL)
    change(drifting, "multiple", SEVERAL, multiple=False)
    assert values(drifting, SEVERAL) == [value[0] if value else "" for value in lists]


def test_options_come_and_go_while_rows_keep_their_ids(drifting: Portal) -> None:
    options = (definition(drifting, ENUMERATION) or {})["LIST"]
    before = values(drifting, ENUMERATION)
    change(drifting, "remove_option", ENUMERATION, option=options[0]["VALUE"])
    change(drifting, "add_option", ENUMERATION, option="Новая причина")
    now = (definition(drifting, ENUMERATION) or {})["LIST"]
    assert [item["VALUE"] for item in now] == [*(item["VALUE"] for item in options[1:]), "Новая причина"]
    assert now[-1]["ID"] not in {item["ID"] for item in options}
    assert values(drifting, ENUMERATION) == before


def test_a_wrong_change_of_a_field_is_refused(control: PortalControl) -> None:
    for arguments in (
        ("rename", "CRM_DEAL", "UF_NONE"),
        ("rename", "CRM_ORDER", NUMBER),
        ("melt", "CRM_DEAL", NUMBER),
    ):
        with pytest.raises(ValueError, match=r"no field|unknown"):
            control.custom_field(*arguments)
    assert control.custom_field("rename", "CRM_DEAL", NUMBER, label="Иначе")["EDIT_FORM_LABEL"] == "Иначе"


# ---- faults


def faulty(world: World, **plan: Any) -> Portal:
    return quiet_portal(world, faults=FaultPlan.from_json(plan))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("command_500", "INTERNAL_SERVER_ERROR"),
        ("command_429", "OPERATION_TIME_LIMIT"),
        ("command_access_denied", "ACCESS_DENIED"),
    ],
)
def test_single_commands_of_a_batch_fail(shared_world: World, fault: str, code: str) -> None:
    """The batch itself passes, the errors lie inside; a plain call is not touched."""
    portal = faulty(shared_world, **{fault: 0.3})
    parts = batch(portal, {f"c{number}": "server.time" for number in range(50)})
    failed = [error["error"] for error in parts["result_error"].values()]
    assert 5 < len(failed) < 25
    assert set(failed) == {code}
    assert len(parts["result"]) + len(failed) == 50
    assert portal.statistics.faults == {f"command {code}": len(failed)}
    assert {ask(portal, "profile")[0] for _ in range(20)} == {200}


def test_a_webhook_is_revoked_after_some_requests(shared_world: World) -> None:
    portal = faulty(shared_world, revoke_after=3)
    statuses = [ask(portal, "profile") for _ in range(5)]
    assert [status for status, _ in statuses] == [200, 200, 200, 401, 401]
    assert statuses[-1][1]["error"] == "NO_AUTH_FOUND"
    portal.set_faults(FaultPlan())
    assert ask(portal, "profile")[0] == 200


def test_narrower_rights_look_like_deletions(shared_world: World) -> None:
    """Rows vanish without a word, the same ones each time, from lists, counts and exact filters alike."""
    portal = quiet_portal(shared_world)
    all_ids = ids(portal)
    portal.set_faults(FaultPlan(rights_cut=0.4))
    seen = ids(portal)
    assert 15 < len(seen) < 45
    hidden = next(row_id for row_id in all_ids if row_id not in seen and row_id < seen[-1])
    assert ids(portal, filter={"ID": hidden}) == []
    history = result(portal, "crm.stagehistory.list", entityTypeId=2, filter={"OWNER_ID": hidden}, start=0)
    assert history["items"] == []
    portal.set_faults(FaultPlan(rights_cut=0.4, not_admin=True))
    assert ids(portal) == seen
    portal.set_faults(FaultPlan())
    assert ids(portal) == all_ids
    large = quiet_portal(shared_world, generated_deals=5000, faults=FaultPlan(rights_cut=0.5))
    assert 2200 < ask(large, "crm.deal.list", {"start": 0})[1]["total"] < 2800


def test_a_plan_without_rest_refuses_everything(shared_world: World) -> None:
    portal = faulty(shared_world, plan="basic")
    for method in ("profile", "batch", "crm.deal.list", "no.such.method"):
        status, told = ask(portal, method)
        assert (status, told["error"]) == (403, "ACCESS_DENIED")
    assert portal.receive("1", "wrong", "profile", {}).status == 401


def test_a_portal_moves_to_another_zone(shared_world: World) -> None:
    """Every time is shown with the new offset and is the same instant; a time without an offset means the new zone."""
    portal = quiet_portal(shared_world)
    columns = {"select": ["ID", "DATE_MODIFY", "CLOSEDATE"], **WALK}
    before = result(portal, "crm.deal.list", **columns)
    portal.set_faults(FaultPlan(zone="+05:00"))
    after = result(portal, "crm.deal.list", **columns)
    assert {row["DATE_MODIFY"][-6:] for row in after} == {"+05:00"}
    assert {row["CLOSEDATE"][10:] for row in after} == {"T05:00:00+05:00"}
    assert [row["CLOSEDATE"][:10] for row in after] == [row["CLOSEDATE"][:10] for row in before]
    instants = [[datetime.fromisoformat(row["DATE_MODIFY"]) for row in rows] for rows in (before, after)]
    assert instants[0] == instants[1]
    assert result(portal, "server.time") == "2026-06-15T14:00:00+05:00"
    latest = max(row["DATE_MODIFY"] for row in after)
    assert ids(portal, filter={">=DATE_MODIFY": latest[:19]}), "without an offset it is read in the portal's zone"
    portal.set_faults(FaultPlan())
    assert result(portal, "crm.deal.list", **columns) == before


@pytest.mark.parametrize("plan", [{"zone": "Moscow"}, {"plan": "free"}, {"rights_cut": 2}, {"command_500": 1.5}])
def test_a_wrong_state_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"zone|does not match|plan|rights_cut|probabilities|unknown"):
        FaultPlan.from_json(plan)


def test_states_can_be_written_on_the_command_line() -> None:
    text = "command_429=0.1,revoke_after=9,rights_cut=0.25,zone=+05:00,plan=basic"
    expected = FaultPlan(command_429=0.1, revoke_after=9, rights_cut=0.25, zone="+05:00", plan="basic")
    assert FaultPlan.from_text(text) == expected
