"""The stand-in portal serves its further entities as the real one does: paths, types, refusals, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import pytest

from demo.server import FaultPlan, Portal, PortalOptions
from demo.world import World

NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
CODE = "abcdefgh12345678"
PURCHASES, TICKETS, CONTRACTS = 128, 1036, 1044
Row = dict[str, Any]


@dataclass
class Caller:
    """Asks a portal without HTTP."""

    portal: Portal

    def ask(self, method: str, params: Mapping[str, Any], *, version: int = 2) -> tuple[int, Any]:
        user = str(self.portal.user_id)
        place = (user, CODE, method) if version == 2 else ("api", user, f"{CODE}/{method}")
        reply = self.portal.receive(*place, dict(params))
        return reply.status, orjson.loads(reply.body)

    def __call__(self, method: str, **params: Any) -> Any:
        status, body = self.ask(method, params)
        assert status == 200, body
        return body

    def refusal(self, method: str, **params: Any) -> tuple[int, Any]:
        status, body = self.ask(method, params)
        return status, body["error"]

    def walk(self, method: str, key: str, id_key: str = "id", **params: Any) -> list[Row]:
        """Read everything by id, without counting."""
        found: list[Row] = []
        while True:
            where = {**params.get("filter", {}), f">{id_key}": int(found[-1][id_key]) if found else 0}
            body = self(method, **{**params, "filter": where}, order={id_key: "ASC"}, start=-1)
            assert "next" not in body
            page = body["result"][key] if key else body["result"]
            found += page
            if len(page) < 50:
                return found


def portal_of(world: World, **options: Any) -> Caller:
    return Caller(Portal(world, PortalOptions(code=CODE, limits=False, frozen=True, **options)))


@pytest.fixture(scope="module")
def world() -> World:
    return World.generate(7, 400, NOW)


@pytest.fixture(scope="module")
def truth(world: World) -> dict[str, Any]:
    return world.truth()


@pytest.fixture(scope="module")
def call(world: World) -> Caller:
    return portal_of(world)


@pytest.fixture(scope="module")
def stranger(world: World) -> Caller:
    """The same portal, asked by somebody who is no administrator."""
    return portal_of(world, faults=FaultPlan(not_admin=True))


def sorted_by(rows: list[Row], key: str) -> list[Row]:
    return sorted(rows, key=lambda row: int(row[key]))


# ---- everything that can be walked by id


@pytest.mark.parametrize(
    ("table", "method", "key", "id_key", "params"),
    [
        ("quotes", "crm.quote.list", "", "ID", {}),
        ("smart_invoices", "crm.item.list", "items", "id", {"entityTypeId": 31, "useOriginalUfNames": "Y"}),
        ("smart_invoice_stage_history", "crm.stagehistory.list", "items", "ID", {"entityTypeId": 31}),
        ("payments", "sale.payment.list", "payments", "id", {}),
        ("order_entities", "crm.orderentity.list", "orderEntity", "orderId", {}),
        ("catalogs", "catalog.catalog.list", "catalogs", "id", {}),
        ("product_prices", "catalog.price.list", "prices", "id", {}),
        ("requisites", "crm.requisite.list", "", "ID", {}),
        ("process_types", "crm.type.list", "types", "id", {}),
    ],
)
def test_a_walk_by_id_reads_the_whole_table(
    call: Caller, truth: dict[str, Any], table: str, method: str, key: str, id_key: str, params: dict[str, Any]
) -> None:
    """A row that only the ground truth has would be reported as lost by every pipeline."""
    assert call.walk(method, key, id_key, **params) == sorted_by(truth[table], id_key)


@pytest.mark.parametrize("type_id", [PURCHASES, TICKETS, CONTRACTS])
def test_items_of_a_process_are_numbered_for_themselves(call: Caller, truth: dict[str, Any], type_id: int) -> None:
    """The key of an item is its type and its id."""
    found = call.walk("crm.item.list", "items", entityTypeId=type_id, useOriginalUfNames="Y")
    expected = [row for row in truth["process_items"] if row["entityTypeId"] == type_id]
    assert found == sorted_by(expected, "id")
    assert min(row["id"] for row in found) == 1


# ---- quotes and invoices


def test_quotes_have_an_old_and_a_universal_face(call: Caller, truth: dict[str, Any]) -> None:
    """One row under two spellings: texts there, numbers and other names here."""
    old = truth["quotes"][0]
    item = call("crm.item.list", entityTypeId=7, filter={"id": int(old["ID"])})["result"]["items"][0]
    assert item["stageId"] == old["STATUS_ID"]
    assert item["dealId"] == int(old["DEAL_ID"])
    assert item["opportunity"] == float(old["OPPORTUNITY"])
    assert item["updatedTime"] == old["DATE_MODIFY"]
    assert item["ufCrm_1717400001"] == old["UF_CRM_1717400001"]
    assert "fm" not in item
    assert set(old) <= set(call("crm.quote.fields")["result"])
    listed = {row["FIELD_NAME"] for row in call("crm.quote.userfield.list")["result"]}
    assert listed == {name for name in old if name.startswith("UF_")}


def test_stages_of_every_type_stand_in_the_dictionaries(call: Caller, truth: dict[str, Any]) -> None:
    """Items do not carry the meaning of their stage: it has to be joined."""
    meanings = {(row["ENTITY_ID"], row["STATUS_ID"]): row["SEMANTICS"] for row in call("crm.status.list")["result"]}
    for row in truth["smart_invoices"]:
        assert (f"SMART_INVOICE_STAGE_{row['categoryId']}", row["stageId"]) in meanings
    for row in truth["process_items"]:
        entity = f"DYNAMIC_{row['entityTypeId']}_STAGE_{row['categoryId']}"
        assert ("stageId" in row) == (row["entityTypeId"] != CONTRACTS)
        assert "stageId" not in row or (entity, row["stageId"]) in meanings
    assert {meanings["QUOTE_STATUS", code] for code in ("APPROVED", "DECLAINED")} == {"S", "F"}
    assert meanings["SMART_INVOICE_STAGE_11", "DT31_11:P"] == "S"


def test_types_without_history_or_pipelines_are_refused(call: Caller) -> None:
    """Quotes keep no history; a process with stages off has neither history nor pipelines."""
    refused = (400, "ENTITY_TYPE_NOT_SUPPORTED")
    assert call.refusal("crm.stagehistory.list", entityTypeId=7) == refused
    assert call.refusal("crm.stagehistory.list", entityTypeId=CONTRACTS) == refused
    assert call.refusal("crm.category.list", entityTypeId=CONTRACTS) == refused
    assert call.refusal("crm.item.list", entityTypeId=5) == refused
    assert call.refusal("crm.item.list", entityTypeId=2000) == (400, "NOT_FOUND")
    assert [row["id"] for row in call("crm.category.list", entityTypeId=31)["result"]["categories"]] == [11]
    assert [row["id"] for row in call("crm.category.list", entityTypeId=TICKETS)["result"]["categories"]] == [15, 17]
    assert all(row["entityTypeId"] == 2 for row in call("crm.category.list", entityTypeId=2)["result"]["categories"])


def test_custom_fields_of_items_have_two_spellings(call: Caller) -> None:
    """Camel case unless the original names are asked for; a filter takes both."""
    plain = call("crm.item.list", entityTypeId=TICKETS, select=["id", "ufCrm2_1717700001"])["result"]["items"][0]
    original = call(
        "crm.item.list", entityTypeId=TICKETS, select=["id", "UF_CRM_2_1717700001"], useOriginalUfNames="Y"
    )["result"]["items"][0]
    assert list(plain) == ["id", "ufCrm2_1717700001"]
    assert list(original) == ["id", "UF_CRM_2_1717700001"]
    described = call("crm.item.fields", entityTypeId=TICKETS)["result"]["fields"]["ufCrm2_1717700001"]
    assert described["upperName"] == "UF_CRM_2_1717700001"
    assert described["title"] == "UF_CRM_2_1717700001"
    assert described["formLabel"] == "Тема обращения"
    assert call.refusal("crm.item.list", entityTypeId=TICKETS, filter={"companyTitle": 1})[1] == "INVALID_ARG_VALUE"
    assert call.refusal("crm.item.list", entityTypeId=TICKETS, filter={"opportunity": 1})[1] == "INVALID_ARG_VALUE"


def test_types_need_an_administrator_and_their_numbers_do_not(call: Caller, stranger: Caller) -> None:
    """Anybody may learn which processes there are, without their settings."""
    assert stranger.refusal("crm.type.list") == (400, "ACCESS_DENIED")
    flags = {row["entityTypeId"]: row["isStagesEnabled"] for row in call("crm.type.list")["result"]["types"]}
    assert flags == {PURCHASES: "Y", TICKETS: "Y", CONTRACTS: "N"}
    codes = {row["SYMBOL_CODE"]: row["SYMBOL_CODE_SHORT"] for row in stranger("crm.enum.ownertype")["result"]}
    assert {codes[f"DYNAMIC_{type_id}"] for type_id in flags} == {"T80", "T40c", "T414"}


def test_registry_of_custom_fields_knows_every_entity(call: Caller, truth: dict[str, Any]) -> None:
    """The only list of the fields of invoices and processes; options come one field at a time."""
    fields = call.walk("userfieldconfig.list", "fields", moduleId="crm")
    assert {row["entityId"] for row in fields} >= {"CRM_DEAL", "CRM_QUOTE", "CRM_SMART_INVOICE", "CRM_1", "CRM_2"}
    assert [row["id"] for row in fields] == [row["ID"] for row in truth["custom_fields"]]
    assert not any("editFormLabel" in row or "list" in row for row in fields)
    with_labels = call("userfieldconfig.list", moduleId="crm", select={"0": "*", "language": "ru"}, start=0)
    assert all(row["editFormLabel"]["ru"] for row in with_labels["result"]["fields"])
    topic = next(row for row in fields if row["fieldName"] == "UF_CRM_2_1717700001")
    one = call("userfieldconfig.get", moduleId="crm", id=int(topic["id"]))["result"]["field"]
    assert [item["value"] for item in one["enum"]][:2] == ["Поломка", "Гарантия"]
    assert call.refusal("userfieldconfig.list") == (400, "100")


# ---- money and goods


def test_payments_are_for_administrators_or_one_owner_at_a_time(
    call: Caller, stranger: Caller, truth: dict[str, Any]
) -> None:
    """Without rights to all payments they can be read from the deal's side."""
    assert stranger.refusal("sale.payment.list") == (400, "200040300010")
    link = truth["order_entities"][0]
    found = stranger("crm.item.payment.list", entityId=link["ownerId"], entityTypeId=2)
    assert "total" not in found
    expected = [row for row in truth["payments"] if row["orderId"] == link["orderId"]]
    assert [row["id"] for row in found["result"]] == [row["id"] for row in expected]
    assert found["result"][0] == {key: expected[0][key] for key in found["result"][0]}
    assert stranger.refusal("crm.item.payment.list", entityId=1) == (400, "100")
    assert expected[0]["priceCod"] == "0.000000"
    assert isinstance(expected[0]["sum"], int | float)


def test_product_rows_of_every_owner_type(call: Caller, truth: dict[str, Any]) -> None:
    """Each type is asked under its short code, and never sees the rows of another with the same id."""
    for code in ("L", "Q", "SI", "T80"):
        owner = next(row["ownerId"] for row in truth["product_rows"] if row["ownerType"] == code)
        expected = [row for row in truth["product_rows"] if (row["ownerType"], row["ownerId"]) == (code, owner)]
        where = {"=ownerType": code, "=ownerId": owner}
        assert call("crm.item.productrow.list", filter=where)["result"]["productRows"] == expected[:50]
        old = call("crm.productrow.list", filter={"OWNER_TYPE": code, "OWNER_ID": owner})["result"]
        assert [row["ID"] for row in old] == [str(row["id"]) for row in expected[:50]]
    assert not any(row["ownerType"] in ("T40c", "T414", "D") for row in truth["product_rows"])
    quote = next(row["ownerId"] for row in truth["product_rows"] if row["ownerType"] == "Q")
    assert {row["OWNER_TYPE"] for row in call("crm.quote.productrows.get", id=quote)["result"]} == {"Q"}
    assert call("crm.item.productrow.list", filter={"=ownerType": "T40c", "=ownerId": 1})["result"] == {
        "productRows": []
    }


def test_products_are_asked_per_iblock(call: Caller, stranger: Caller, truth: dict[str, Any]) -> None:
    """Iblock and id are mandatory; offers tell their product by a property; product rows lead into the catalogue."""
    iblocks = [row["iblockId"] for row in call("catalog.catalog.list")["result"]["catalogs"]]
    found = [
        row
        for iblock in iblocks
        for row in call.walk(
            "catalog.product.list", "products", filter={"iblockId": iblock}, select=["*", "id", "iblockId"]
        )
    ]
    expected = [{key: value for key, value in row.items() if key != "parentId"} for row in truth["products"]]
    assert sorted_by(found, "id") == sorted_by(expected, "id")
    ids = {row["id"] for row in found}
    sold = {row["productId"] for name in ("deal_product_rows", "product_rows") for row in truth[name]}
    assert sold - {0} <= ids
    offers = [row for row in found if row["type"] == 4]
    assert offers
    assert {int(row["property97"]["value"]) for row in offers} <= ids
    ask = {"filter": {"iblockId": 24}, "select": ["id", "iblockId", "parentId"]}
    told = call("catalog.product.offer.list", **ask)["result"]["offers"]
    assert {row["id"]: row["parentId"] for row in told} == {row["id"]: row["property97"] for row in offers}
    series = call("catalog.product.sku.list", filter={"iblockId": 23}, select=["id", "iblockId"])["result"]["units"]
    assert {int(row["parentId"]["value"]) for row in told} == {row["id"] for row in series}
    assert call.refusal("catalog.product.list", filter={"iblockId": 23}, select=["id"]) == (400, 0)
    assert call.refusal("catalog.product.list", select=["id", "iblockId"]) == (400, 0)
    assert stranger.refusal("catalog.catalog.list") == (400, 200040300010)
    assert stranger.refusal("catalog.section.list", filter={"iblockId": 23}) == (400, 200040300010)


def test_sections_may_lie_at_the_top(call: Caller, world: World, truth: dict[str, Any]) -> None:
    """The documentation shows both shapes, so a reader has to take both."""
    where = {"filter": {"iblockId": 23}, "order": {"id": "ASC"}}
    assert call("catalog.section.list", **where)["result"]["sections"] == truth["product_sections"]
    assert call.refusal("catalog.section.list") == (400, 0)
    odd = portal_of(world, sections_at_top=True)("catalog.section.list", **where)
    assert "result" not in odd
    assert odd["sections"] == truth["product_sections"]


# ---- links, requisites


def test_deals_have_several_contacts(call: Caller, truth: dict[str, Any]) -> None:
    """The universal list gives the set, primary first; the single call gives order and role."""
    links: dict[int, list[Row]] = {}
    for row in truth["deal_contacts"]:
        links.setdefault(row["DEAL_ID"], []).append(row)
    items = call.walk("crm.item.list", "items", entityTypeId=2, select=["id", "contactId", "contactIds"])
    assert {item["id"]: item["contactIds"] for item in items if item["contactIds"]} == {
        deal: [row["CONTACT_ID"] for row in rows] for deal, rows in links.items()
    }
    assert any(len(item["contactIds"]) > 1 for item in items)
    assert all(item["contactIds"][0] == item["contactId"] for item in items if item["contactIds"])
    deal, rows = next((deal, rows) for deal, rows in links.items() if len(rows) > 1)
    got = call("crm.deal.contact.items.get", id=deal)["result"]
    assert got == [{key: value for key, value in row.items() if key != "DEAL_ID"} for row in rows]
    assert [row["IS_PRIMARY"] for row in got] == ["Y"] + ["N"] * (len(got) - 1)


def test_contacts_have_several_companies(call: Caller, truth: dict[str, Any]) -> None:
    """A person may stand for two companies; the contact's own company comes first."""
    items = call.walk("crm.item.list", "items", entityTypeId=3, select=["id", "companyIds"])
    linked = [(item["id"], company) for item in items for company in item["companyIds"]]
    assert linked == [(row["CONTACT_ID"], row["COMPANY_ID"]) for row in truth["contact_companies"]]
    contact = next(item["id"] for item in items if len(item["companyIds"]) > 1)
    assert len(call("crm.contact.company.items.get", id=contact)["result"]) > 1


def test_addresses_have_no_id_and_no_total(call: Caller, truth: dict[str, Any]) -> None:
    """A walk goes by owner within one type of address; offsets tell neither a total nor a next page."""
    page = call("crm.address.list", start=0)
    assert "total" not in page
    assert "next" not in page
    assert len(page["result"]) == 50
    assert call("crm.address.list", start=10_000)["result"] == []
    found: list[Row] = []
    for kind in sorted({row["TYPE_ID"] for row in truth["addresses"]}):
        last, rows = 0, [{}] * 50
        while len(rows) == 50:
            where = {"TYPE_ID": kind, "ENTITY_TYPE_ID": 8, ">ENTITY_ID": last}
            rows = call("crm.address.list", filter=where, order={"ENTITY_ID": "ASC"}, start=-1)["result"]
            found += rows
            last = int(rows[-1]["ENTITY_ID"]) if rows else last
    assert len(found) == len(truth["addresses"])
    company = next(row["ANCHOR_ID"] for row in found if row["ANCHOR_TYPE_ID"] == "4")
    of_company = call("crm.address.list", filter={"ENTITY_TYPE_ID": 4, "ENTITY_ID": company})["result"]
    assert of_company == [row for row in of_company if row["ANCHOR_ID"] == company]
    assert of_company


# ---- the office


def test_log_of_a_task_comes_whole(call: Caller, truth: dict[str, Any]) -> None:
    """Newest first unless asked otherwise, not paged, one call per task."""
    task = truth["task_history"][0]["taskId"]
    expected = [
        {key: value for key, value in row.items() if key != "taskId"}
        for row in truth["task_history"]
        if row["taskId"] == task
    ]
    assert call("tasks.task.history.list", taskId=task, order={"id": "asc"})["result"]["list"] == expected
    assert call("tasks.task.history.list", taskId=task)["result"]["list"] == expected[::-1]
    only_new = call("tasks.task.history.list", taskId=task, filter={"FIELD": "NEW"})["result"]["list"]
    assert [row["field"] for row in only_new] == ["NEW"]
    assert call("tasks.task.history.list", taskId=10**6)["result"] == {"list": []}
    assert call.refusal("tasks.task.history.list") == (400, "100")


def test_secret_groups_show_only_to_administrators_who_ask(
    call: Caller, stranger: Caller, truth: dict[str, Any]
) -> None:
    """Without the switch even an administrator sees what everybody sees; nothing selected is the id alone."""
    ask = {"select": ["ID", "NAME", "TYPE", "VISIBLE", "DATE_UPDATE"], "order": {"ID": "ASC"}}
    every = {**ask, "params": {"IS_ADMIN": "Y"}}
    method = "socialnetwork.api.workgroup.list"
    assert [row["id"] for row in call(method, **every)["result"]["workgroups"]] == [
        row["id"] for row in truth["workgroups"]
    ]
    seen = call(method, **ask)["result"]["workgroups"]
    assert "N" not in {row["visible"] for row in seen}
    assert seen == stranger(method, **every)["result"]["workgroups"]
    assert set(seen[0]) == {"id", "name", "type", "visible", "dateUpdate"}
    assert set(call(method)["result"]["workgroups"][0]) == {"id"}
    assert "total" not in call(method, start=-1)
    old = call("sonet_group.get", ORDER={"ID": "ASC"})["result"]
    assert [row["ID"] for row in old] == [row["id"] for row in seen]
    used = {row["groupId"] for row in truth["tasks"]} - {"0"}
    assert used <= {row["id"] for row in truth["workgroups"]}


def test_calendars_are_read_per_owner_and_window(call: Caller, truth: dict[str, Any]) -> None:
    """A series comes once per day with one id; guests have copies; windows that meet give everything."""
    found: list[Row] = []
    for owner in sorted({row["OWNER_ID"] for row in truth["calendar_events"]}, key=int):
        kind = "user" if owner != "0" else "company_calendar"
        ask = {"type": kind, "ownerId": owner, "from": "2024-01-01", "to": "2028-01-01"}
        found += call("calendar.event.get", **ask)["result"]
    key = lambda row: (int(row["ID"]), int(row["DATE_FROM_TS_UTC"]))  # noqa: E731
    assert sorted(found, key=key) == sorted(truth["calendar_events"], key=key)
    series = next(row for row in found if row["RRULE"])
    days = [row for row in found if row["ID"] == series["ID"]]
    assert len(days) > 10
    assert len({row["DATE_FROM_TS_UTC"] for row in days}) == len(days)
    assert any(row["PARENT_ID"] != row["ID"] for row in found)
    month = {"type": "user", "ownerId": series["OWNER_ID"], "from": "2026-06-01", "to": "2026-06-30"}
    within = call("calendar.event.get", **month)["result"]
    assert 0 < len([row for row in within if row["ID"] == series["ID"]]) <= 5
    assert series["DATE_FROM"][2] == "."
    assert call.refusal("calendar.event.get") == (400, "")
    assert call("calendar.section.get", type="company_calendar")["result"][0]["TIMESTAMP_X"][10] == " "


def test_work_time_is_read_in_rest_v3(call: Caller, stranger: Caller, truth: dict[str, Any]) -> None:
    """Another path, filters by triples, pages by number, errors as objects; exactly one user per call."""
    user = truth["work_time_records"][0]["userId"]
    expected = [row for row in truth["work_time_records"] if row["userId"] == user]
    pages: list[Row] = []
    for page in (1, 2, 3):
        ask = {"filter": [["userId", "=", user]], "order": {"id": "ASC"}, "pagination": {"page": page, "limit": 40}}
        status, body = call.ask("timeman.record.list", ask, version=3)
        assert status == 200
        assert not {"total", "next"} & set(body)
        pages += body["result"]["items"]
    assert pages == expected
    since = expected[3]["startTime"]
    where = [["userId", "=", user], ["startTime", ">=", since]]
    body = call.ask("timeman.record.list", {"filter": where, "pagination": {"offset": 1}}, version=3)[1]
    assert body["result"]["items"][0] == expected[4]
    for wrong in ([], [["userId", "in", [1, 2]]], [["userId", "=", user], ["id", ">", 1]]):
        status, body = call.ask("timeman.record.list", {"filter": wrong}, version=3)
        assert (status, body["error"]["code"]) == (400, "BITRIX_REST_V3_EXCEPTION_INVALIDFILTEREXCEPTION")
    other = next(row["userId"] for row in truth["work_time_records"] if row["userId"] != stranger.portal.user_id)
    status, body = stranger.ask("timeman.record.list", {"filter": [["userId", "=", other]]}, version=3)
    assert body["error"]["code"] == "BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION"
    assert call.ask("crm.deal.list", {}, version=3)[1]["error"]["code"].startswith("BITRIX_REST_V3_EXCEPTION_")
    assert call.refusal("timeman.record.list") == (404, "ERROR_METHOD_NOT_FOUND")


def test_chats_are_found_through_their_activities(call: Caller, truth: dict[str, Any]) -> None:
    """No method lists sessions: the activity names the session, and the session is read alone."""
    activities = call.walk("crm.activity.list", "", "ID", filter={"PROVIDER_ID": "IMOPENLINES_SESSION"})
    sessions = {row["sessionId"]: row for row in truth["openline_sessions"]}
    assert {int(row["ASSOCIATED_ENTITY_ID"]) for row in activities} == set(sessions)
    for session, expected in list(sessions.items())[:5]:
        assert call("imopenlines.session.history.get", SESSION_ID=session)["result"] == expected
        by_chat = call("imopenlines.session.history.get", CHAT_ID=expected["chatId"])["result"]
        assert by_chat["sessionId"] == session
    assert call.refusal("imopenlines.session.history.get") == (400, "MISSING_REQUIRED_PARAM")
    assert call.refusal("imopenlines.session.history.get", SESSION_ID="x") == (400, "INVALID_SESSION_ID")
    assert call.refusal("imopenlines.session.history.get", SESSION_ID=99_999) == (400, "ACCESS_DENIED")
    lines = call("imopenlines.config.list.get", PARAMS={"select": ["ID", "LINE_NAME"], "limit": 2, "offset": 1})
    assert [row["ID"] for row in lines["result"]] == ["2", "5"]


# ---- the portal as a whole


def test_simple_mode_has_no_leads(world: World, call: Caller) -> None:
    """Lists of leads exist and stay empty."""
    simple = portal_of(world, crm_mode=2)
    assert call("crm.settings.mode.get")["result"] == 1
    assert simple("crm.settings.mode.get")["result"] == 2
    assert simple("crm.lead.list")["result"] == []
    assert simple("crm.item.list", entityTypeId=1)["result"]["items"] == []
    assert simple("crm.stagehistory.list", entityTypeId=1)["result"]["items"] == []
    assert simple("crm.deal.list")["result"]


@pytest.mark.parametrize(
    ("scope", "method"),
    [
        ("catalog", "catalog.price.list"),
        ("sale", "sale.payment.list"),
        ("sonet_group", "sonet_group.get"),
        ("socialnetwork", "socialnetwork.api.workgroup.list"),
        ("calendar", "calendar.section.get"),
        ("imopenlines", "imopenlines.config.list.get"),
        ("userfieldconfig", "userfieldconfig.list"),
    ],
)
def test_each_method_asks_for_its_scope(world: World, call: Caller, scope: str, method: str) -> None:
    """A webhook without a scope is refused those methods alone."""
    assert scope in call("scope")["result"]
    poor = portal_of(world, faults=FaultPlan(missing_scopes=[scope]))
    assert scope not in poor("scope")["result"]
    assert poor.refusal(method) == (403, "insufficient_scope")
    assert poor("crm.quote.list")["result"]
