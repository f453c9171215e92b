"""Traps of paging, of limits and of the wire: lists must arrive whole, once, and as they are.

Each test is the one of a trap in the table of `docs/` (Bitrix24 API, section 11) and carries its number. What is
switched off to prove it stands in its decorator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest
from bitrix24_double import SECRET, PortalDouble, Refusal, rows
from traps.mechanism import Declared, Entry, Replaced, Together, trap
from traps.stand_in import NOW, StandIn, listed, numbers, rows_of, sync

import dlt_sources.bitrix24 as source
from demo.server.faults import FaultPlan
from dlt_sources.bitrix24 import client, drift, errors, load, records, schema, sweep, walks
from dlt_sources.bitrix24.client import PAGE_SIZE, BitrixClient, Command, CommandError, OperatingTime
from dlt_sources.bitrix24.entities import Entity, Family
from dlt_sources.bitrix24.errors import AccessError, ConfigurationError, Failure, Kind, PortalError, PortalUnavailable
from dlt_sources.bitrix24.load import Position, load_portal, make_pipeline
from dlt_sources.bitrix24.preflight import Rights, inspect
from dlt_sources.bitrix24.records import ColumnWriter
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Page, Reader
from dlt_sources.bitrix24.webhook import Webhook
from warehouse.ledger import Ledger

DEALS = Entity("deals", "crm.deal.list", "crm", Family.CHANGES, cursor="DATE_MODIFY")
LEADS = Entity("leads", "crm.lead.list", "crm", Family.CHANGES, cursor="DATE_MODIFY")
DAY = timedelta(days=1)


def page_of(status: int) -> httpx.Response:
    return httpx.Response(status, text="<html>Maintenance</html>", headers={"content-type": "text/html"})


def refusal(status: int, code: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": code, "error_description": ""})


def bounded(answer: Callable[[dict[str, Any]], Any], most: int = 30) -> Callable[[dict[str, Any]], Any]:
    """A handler that ends a walk which would go on for ever."""
    asked = 0

    def handler(params: dict[str, Any]) -> Any:
        nonlocal asked
        asked += 1
        assert asked < most, "the walk never ends"
        return answer(params)

    return handler


def ids(found: Sequence[Mapping[str, Any]]) -> list[int]:
    return [int(row["ID"]) for row in found]


# pages


class _ByOffset(OffsetWalk):
    """A long list read as a small one, by offset."""

    left = load.UNREAD

    def __init__(self, entity: Entity, **_: Any) -> None:
        super().__init__(replace(entity, params={**entity.params, "order": {entity.id: "ASC"}}))


@trap(
    1,
    "`total` changes while paging, rows shift between offset pages",
    Replaced(load, "KeysetWalk", _ByOffset),
    saying="rows were skipped or repeated",
)
def test_trap_01_total_changes_while_paging() -> None:
    portal = StandIn(deals=160)
    before = portal.ids("deals")

    def shift(request: int) -> None:
        if request == 2:
            for number in before[:3]:
                portal.portal.mutate("delete", table="deals", row_id=number)

    portal.before_request = shift
    found, _ = sync(portal.client(), listed("deals"), Position())
    assert [number for number in numbers(found) if number not in before[:3]] == before[3:], (
        "rows were skipped or repeated"
    )


def _until_empty(self: OffsetWalk, answers: Sequence[client.Envelope]) -> list[walks.Row]:
    taken = [walks.rows_at(answer, self.entity.path, self.method) for answer in answers]
    self._is_lent = False
    self._offset += PAGE_SIZE * len(answers)
    self._is_read = [] in taken
    return [row for page in taken for row in page]


@trap(
    2,
    "an offset past the end returns page 1 again",
    Replaced(OffsetWalk, "give_back", _until_empty),
    saying="the walk never ends",
)
def test_trap_02_page_one_past_the_end() -> None:
    portal = StandIn()
    departments = portal.world.tables["departments"]
    while len(departments.rows) < 100:
        number = departments.add({"NAME": "x", "SORT": 500, "PARENT": "1"})
        departments.rows[number]["ID"] = str(number)
    found = rows_of(portal.client(), OffsetWalk(listed("departments")))
    assert numbers(found) == portal.ids("departments")


@trap(
    3,
    "`start=-1` without a working id filter gives page 1 for ever",
    Replaced(walks, "_begins_anew", lambda page, place: False),
    saying="the walk never ends",
)
def test_trap_03_page_one_for_ever() -> None:
    portal = PortalDouble()
    first = list(rows(range(1, 51)).values())
    portal.handlers["crm.deal.list"] = bounded(lambda _: first, most=200)
    with pytest.raises(PortalError, match="ignores the id filter"):
        rows_of(portal.client(), KeysetWalk(DEALS))


class _Text(str):
    """An id that is compared as the text it came as."""

    def __le__(self, other: object) -> bool:
        return str.__le__(self, str(other))

    def __lt__(self, other: object) -> bool:
        return str.__lt__(self, str(other))


_read_page = walks.read_page


def _with_text_ids(page: client.Envelope | bytes, entity: Entity) -> Page:
    read = _read_page(page, entity)
    return Page(read.rows, [_Text(number) for number in read.ids], read.cursors)  # type: ignore[misc]


@trap(
    4,
    'ids are strings: as text "100" comes before "99"',
    Replaced(walks, "read_page", _with_text_ids),
    fails=PortalError,
    saying="does not return rows by ascending id",
)
def test_trap_04_ids_are_strings() -> None:
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(51, 160))
    walk = KeysetWalk(DEALS)
    assert ids(rows_of(portal.client(), walk)) == list(range(51, 160))
    assert walk.highest == 159


# changes


@trap(
    5,
    "an unknown filter key is ignored: everything is read as if it had changed",
    Replaced(KeysetWalk, "_check_filter", lambda self, page: None),
    saying="everything was read without a word",
)
def test_trap_05_ignored_filter_key() -> None:
    portal = StandIn()
    since = NOW - DAY
    old = min(datetime.fromisoformat(row["DATE_MODIFY"]) for row in portal.world.tables["deals"].rows.values())
    assert old < since
    # the old lists drop what they do not know, so this comes back as the whole table
    walk = KeysetWalk(listed("deals"), where={">=DATE_OF_CHANGE": since.isoformat()}, since=since)
    assert numbers(rows_of(portal.client(), walk)) == portal.ids("deals")
    assert "ignored the filter" in walk.warning, "everything was read without a word"


@trap(
    6,
    "an unreadable date in a filter is no error",
    Replaced(Entity, "since", lambda self, instant: {f">={self.cursor}": f"{instant:%d/%m/%y %H.%M}"}),
    saying="changes were not read",
)
def test_trap_06_unreadable_date() -> None:
    portal = StandIn()
    place = sync(portal.client(), listed("deals"), Position())[1]
    changed = portal.ids("deals")[7]
    portal.portal.mutate("update", table="deals", row_id=changed)
    found, _ = sync(portal.client(), listed("deals"), place, NOW + timedelta(minutes=5))
    assert changed in numbers(found), "changes were not read"
    assert len(found) < len(portal.ids("deals"))


@trap(
    7,
    "DATE_MODIFY has ties and whole seconds, rows change during the run",
    Together(
        Replaced(load, "OVERLAP", timedelta(0)),
        Replaced(Entity, "since", lambda self, instant: {f">{self.cursor}": instant.isoformat()}),
    ),
    saying="a change of the run's own second was lost",
)
def test_trap_07_ties_of_date_modify() -> None:
    portal = StandIn()
    changed = portal.ids("deals")[0]
    place = sync(portal.client(), listed("deals"), Position())[1]
    assert place.watermark == NOW
    # in the second in which the run began, after its page was read
    portal.portal.mutate("update", table="deals", row_id=changed, values={"TITLE": "later"})
    found, _ = sync(portal.client(), listed("deals"), place, NOW + timedelta(minutes=5))
    assert "later" in [row["TITLE"] for row in found], "a change of the run's own second was lost"


# batches


@trap(
    10,
    "a chained page behind a short one is read from the start of the table",
    Together(
        Replaced(walks, "_begins_anew", lambda page, place: False),
        Replaced(walks, "_is_last", lambda page: not page.ids),
    ),
    saying="the beginning is read again and again",
)
def test_trap_10_chain_behind_a_short_page() -> None:
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(1, 81))

    def bound() -> None:
        assert len(portal.batches) < 9, "the beginning is read again and again"

    portal.before_command = bound
    found = rows_of(portal.client(), KeysetWalk(DEALS))
    assert len(portal.batches[1]) > 1  # the page behind the last one refers to a row that is not there
    assert ids(found) == list(range(1, 81))


@trap(
    11,
    "a raw + in a batch command becomes a space, commands vanish, numeric keys change the shape",
    Replaced(client, "quote", lambda text, safe="": text),
    saying="the command did not arrive as it was meant",
)
def test_trap_11_batch_commands() -> None:
    portal = PortalDouble()
    asked: list[dict[str, Any]] = []

    def deals(params: dict[str, Any]) -> list[Any]:
        asked.append(params)
        return []

    portal.handlers["crm.deal.list"] = deals
    where = {">=DATE_MODIFY": "2026-06-14T09:00:00+00:00", "%TITLE": "100% A&B #1"}
    rows_of(portal.client(), KeysetWalk(DEALS, where=where))
    assert {key: asked[0]["filter"].get(key) for key in where} == where, "the command did not arrive as it was meant"
    assert all(isinstance(line, str) for line in portal.batches[0].values())
    assert not any(key.isdecimal() for key in portal.batches[0])
    # a command without any answer is asked again, not taken for an empty list
    silent = httpx.Response(200, json={"result": {"result": [], "result_error": []}})
    portal.faults = [silent]
    (outcome,) = portal.client().batch({"d": Command("crm.deal.list", {})}).values()
    assert isinstance(outcome, CommandError)
    assert outcome.failure.kind is Kind.TRANSIENT


@trap(
    12,
    "errors of commands hide in a batch of status 200, refusals of limits too",
    Replaced(BitrixClient, "_failed", lambda *_: client.Envelope(b"[]")),
    saying="rows behind a failed command were lost",
)
def test_trap_12_errors_inside_a_good_batch() -> None:
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(1, 241))
    broken, limit = Refusal("INTERNAL_SERVER_ERROR"), Refusal("OPERATION_TIME_LIMIT", "Method is blocked")
    portal.command_faults = [None, broken, None, limit]
    found = rows_of(portal.client(), KeysetWalk(DEALS))
    assert ids(found) == list(range(1, 241)), "rows behind a failed command were lost"


@trap(
    13,
    '`error` is "", 0, a number or in lower case',
    Replaced(errors, "_BY_CODE", {code.upper(): kind for code, kind in errors._BY_CODE.items()}),
    saying="an error was taken for another",
)
def test_trap_13_spellings_of_errors() -> None:
    spellings: list[tuple[dict[str, Any], int | None, Kind]] = [
        ({"error": "query_limit_exceeded"}, None, Kind.THROTTLED),
        ({"error": "QUERY_LIMIT_EXCEEDED"}, None, Kind.THROTTLED),
        ({"error": "Insufficient_Scope"}, None, Kind.DENIED),
        ({"error": 200040300010}, 400, Kind.DENIED),
        ({"error": "200040300010"}, None, Kind.DENIED),
        ({"error": "", "error_description": "Access denied."}, 400, Kind.DENIED),
        ({"error": 0}, 400, Kind.TRANSIENT),
        ({"error": "", "error_description": "Failed to get list. General error."}, 400, Kind.TRANSIENT),
        ({"error": 100}, 400, Kind.REFUSED),
        ({"error": ""}, 429, Kind.OPERATING),
    ]
    found = [errors.classify(body, status).kind for body, status, _ in spellings]
    assert found == [kind for *_, kind in spellings], "an error was taken for another"
    portal = PortalDouble()
    portal.faults = [refusal(200, "no_auth_found")]  # a good status does not make it an answer
    with pytest.raises(AccessError):
        portal.client().call("profile")


# HTTP


def _decoding_anything(response: httpx.Response, method: str) -> Any:
    return (client._decode_batch if method == "batch" else client._decode_call)(response.content)


@trap(
    14,
    "gateways answer 502, 503, 504, even 200, with pages of HTML",
    Replaced(client, "_read", _decoding_anything),
    fails=msgspec.DecodeError,
    saying="JSON is malformed",
)
def test_trap_14_pages_instead_of_json() -> None:
    portal = PortalDouble()
    portal.handlers["profile"] = lambda _: {"ID": "1"}
    portal.faults = [page_of(502), page_of(504), page_of(200)]
    reader = portal.client()
    assert reader.call("profile").result == {"ID": "1"}
    assert reader.usage.retries == 3


_read = client._read


def _status_alone(response: httpx.Response, method: str) -> Any:
    return Failure(Kind.THROTTLED, "HTTP 503") if response.status_code == 503 else _read(response, method)


@trap(
    15,
    "503 is a full request bucket (JSON) or a maintenance page (HTML)",
    Replaced(client, "_read", _status_alone),
    saying="maintenance was taken for a full bucket",
)
def test_trap_15_two_kinds_of_503() -> None:
    portal = PortalDouble()
    portal.handlers["profile"] = lambda _: {"ID": "1"}
    reader = portal.client()
    usual = reader.rate_per_s
    portal.faults = [page_of(503)]
    reader.call("profile")
    assert (reader.rate_per_s, reader.usage.refusals) == (usual, 0), "maintenance was taken for a full bucket"
    portal.faults = [refusal(503, "QUERY_LIMIT_EXCEEDED")]
    reader.call("profile")
    assert (reader.rate_per_s, reader.usage.refusals) == (usual / 2, 1)
    assert reader.usage.retries == 2  # both are waited for


_refused = OperatingTime.refused


def _park_all(self: OperatingTime, method: str) -> None:
    for known in list(self._meters):
        _refused(self, known)


@trap(
    16,
    "429 blocks one method of one webhook",
    Replaced(OperatingTime, "refused", _park_all),
    saying="leads waited for deals",
)
def test_trap_16_one_method_is_blocked() -> None:
    portal = PortalDouble()
    start = portal.clock.now
    free_at = start + 300

    def deals(params: dict[str, Any]) -> Any:
        if portal.clock.now < free_at:
            raise Refusal("OPERATION_TIME_LIMIT", "Method is blocked")
        return [{"ID": "1"}] if params["filter"][">ID"] == "0" else []

    portal.handlers["crm.deal.list"] = deals
    portal.lists["crm.lead.list"] = rows(range(1, 1001))
    blocked, free = KeysetWalk(DEALS), KeysetWalk(LEADS)
    finished = 0.0
    for _ in Reader(portal.client()).read([blocked, free]):
        if free.done and not finished:
            finished = portal.clock.now
    assert finished - start < 30, "leads waited for deals"
    assert blocked.done
    assert portal.clock.now >= free_at


class _SlowPortal(PortalDouble):
    """Takes too long over a batch of more than ten commands."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if len(orjson.loads(request.content).get("cmd", ())) > 10:
            return page_of(504)
        return super().answer(request)


@trap(
    17,
    "a heavy batch runs into the limit of 60 s for one request",
    Replaced(client, "BatchTimeoutError", PortalUnavailable),
    fails=PortalUnavailable,
    saying="takes longer than the portal allows",
)
def test_trap_17_heavy_batches() -> None:
    portal = _SlowPortal()
    portal.lists["crm.deal.list"] = rows(range(1, 3001))
    found = rows_of(portal.client(), KeysetWalk(DEALS, max_id=3000))
    assert sorted(ids(found)) == list(range(1, 3001))


LONG_TEXTS = {"DESCRIPTION", "COMMENTS", "CONTENT", "TERMS", "BANKING_DETAILS", "description"}


@trap(
    18,
    "oversized pages: texts of activities, whole rows",
    Declared("activities", "select", lambda one: replace(one, params={**one.params, "select": ["*"]})),
    saying="long texts travel with each page",
)
def test_trap_18_oversized_pages() -> None:
    portal = StandIn()
    for table in ("leads", "deals", "contacts", "companies", "quotes", "activities", "tasks"):
        found = rows_of(portal.client(), KeysetWalk(listed(table)))
        assert found
        travels = LONG_TEXTS.intersection(*found)
        assert not travels, f"long texts travel with each page of {table}: {travels}"
        assert not {name.lower() for name in LONG_TEXTS} & set(schema.TABLES[table])


# shapes of values


@trap(
    19,
    "an empty collection is [] where an object is expected",
    Replaced(client, "_by_key", lambda part: {} if part is None else part),
    fails=AttributeError,
    saying="'list' object has no attribute 'get'",
)
def test_trap_19_empty_lists_for_objects() -> None:
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = {}
    portal.lists["crm.stagehistory.list"] = rows([1])
    portal.handlers["tasks.task.list"] = lambda _: []  # instead of {"tasks": []}
    history = Entity("deal_stage_history", "crm.stagehistory.list", "crm", Family.JOURNAL)
    tasks = Entity("tasks", "tasks.task.list", "task", Family.CHANGES, path=("tasks",), id="id", filter_id="id")
    # no command failed, so that part of the answer is a list; a portal without deals answers with another one
    assert ids(rows_of(portal.client(), KeysetWalk(DEALS), KeysetWalk(history), KeysetWalk(tasks))) == [1]
    assert records.custom_field_options([{"ENTITY_ID": "CRM_DEAL", "FIELD_NAME": "UF_X", "LIST": []}]) == []


@trap(
    24,
    "old and new methods spell a field in different ways and types",
    Together(
        Replaced(records, "to_column_name", str.lower),
        Replaced(records, "_upper_or_camel", lambda name, keys: name.upper()),
    ),
    saying="the same deal differs by the method",
)
def test_trap_24_two_spellings_of_a_field() -> None:
    old = {"ID": "5", "DATE_MODIFY": "2026-06-15T12:00:00+03:00", "OPPORTUNITY": "10.5", "UTM_SOURCE": "ya"}
    new = {"id": 5, "dateModify": "2026-06-15T12:00:00+03:00", "opportunity": 10.5, "utmSource": "ya"}
    by_old, by_new = (
        ColumnWriter().to_columns("deals", [orjson.dumps(row)], loaded_at="now").to_pylist()[0] for row in (old, new)
    )
    assert by_old == by_new, "the same deal differs by the method"
    assert (by_old["date_modify"], by_old["utm_source"]) == (old["DATE_MODIFY"], "ya")


class _Kept:
    """Positions between two loads."""

    def __init__(self) -> None:
        self.positions_by_name: dict[str, Position] = {}

    def positions(self) -> Mapping[str, Position]:
        return dict(self.positions_by_name)

    def save(self, positions: Mapping[str, Position], reports: Sequence[load.EntityReport]) -> None:
        self.positions_by_name.update(positions)


@pytest.fixture
def few_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads create every declared table; here a few are enough."""
    names = ("deals", "custom_fields", "custom_field_options")
    monkeypatch.setattr(schema, "TABLES", {name: schema.TABLES[name] for name in names})


def loaded(folder: Path, reader: BitrixClient, tables: Sequence[str], kept: _Kept, as_of: datetime) -> Any:
    pipeline = make_pipeline(folder / "crm.duckdb", folder / "crm.dlt")
    lists = [listed("custom_fields", "deal") if table == "custom_fields" else listed(table) for table in tables]
    load_portal(
        reader, pipeline, kept, as_of=as_of, reporting_tz="Europe/Moscow", progress=lambda *_: None, entities=lists
    )
    return pipeline


def definition(code: str, label: str, **values: Any) -> dict[str, Any]:
    return {
        "ID": code[-1], "ENTITY_ID": "CRM_DEAL", "FIELD_NAME": code, "USER_TYPE_ID": "string", "MULTIPLE": "N",
        "EDIT_FORM_LABEL": label, "SETTINGS": [], **values,
    }  # fmt: skip


@pytest.mark.usefixtures("few_tables")
@trap(
    25,
    "custom fields appear, disappear, change type or take several values",
    Replaced(drift, "changes", lambda old, new: []),
    saying="nobody is told",
)
def test_trap_25_custom_fields_drift(tmp_path: Path) -> None:
    portal, kept, ledger = PortalDouble(), _Kept(), Ledger(tmp_path / "crm.duckdb")
    then = {"DATE_MODIFY": "2026-06-01T12:00:00+03:00"}
    now = {"DATE_MODIFY": "2026-06-15T13:00:00+03:00"}
    fields = [definition("UF_CRM_1", "Договор"), definition("UF_CRM_2", "Срок"), definition("UF_CRM_3", "Город")]
    portal.handlers["crm.deal.userfield.list"] = lambda _: fields
    old = {"UF_CRM_1": "A-1", "UF_CRM_2": "2 weeks", "UF_CRM_3": "Томск"}
    portal.lists["crm.deal.list"] = {number: {"ID": str(number), **then, **old} for number in (1, 2)}
    loaded(tmp_path, portal.client(), ["custom_fields", "deals"], kept, NOW)
    ledger.start_run("first", NOW)
    assert ledger.note_schema_changes("first", NOW, is_whole=True) == []

    # the first field is gone, the second takes numbers, the third several values, a fourth is new
    fields[:] = [
        definition("UF_CRM_2", "Срок, дней", USER_TYPE_ID="integer"),
        definition("UF_CRM_3", "Город", MULTIPLE="Y"),
        definition("UF_CRM_4", "Канал"),
    ]
    new = {"UF_CRM_2": 14, "UF_CRM_3": ["Омск", "Томск"], "UF_CRM_4": "web"}
    portal.lists["crm.deal.list"][2] = {"ID": "2", **now, **new}
    later = NOW + timedelta(hours=2)
    pipeline = loaded(tmp_path, portal.client(), ["custom_fields", "deals"], kept, later)
    with pipeline.sql_client() as sql:
        codes = "uf_crm_1, uf_crm_2, uf_crm_3, uf_crm_4"
        found = sql.native_connection.execute(f"select {codes} from raw_bitrix24.deals order by id").fetchall()
    assert found == [("A-1", "2 weeks", "Томск", None), (None, "14", '["Омск","Томск"]', "web")]
    told = {(one.field_name, one.change) for one in ledger.note_schema_changes("second", later, is_whole=True)}
    assert told == {
        ("UF_CRM_1", "removed"),
        ("UF_CRM_2", "renamed"),
        ("UF_CRM_2", "retyped"),
        ("UF_CRM_3", "made multiple"),
        ("UF_CRM_4", "added"),
    }, "nobody is told"


# the portal as a whole


@trap(
    31,
    "simple CRM mode has no leads at all, and the mode can switch",
    Replaced(load, "_held_nothing", lambda place: False),
    saying="leads of before the switch are missing",
)
def test_trap_31_simple_mode_switches() -> None:
    portal = StandIn(crm_mode=2)
    assert inspect(portal.client()).has_leads is False
    found, place = sync(portal.client(), listed("leads"), Position())
    assert (found, place.is_complete) == ([], True)  # no leads are no failure
    portal.portal._view.crm_mode = 1
    assert inspect(portal.client()).has_leads is True
    found, _ = sync(portal.client(), listed("leads"), place, NOW + DAY)
    assert numbers(found) == portal.ids("leads"), "leads of before the switch are missing"


@pytest.mark.usefixtures("few_tables")
@trap(
    34,
    "rows that the webhook may not see are missing without a word",
    Replaced(Rights, "less_than", lambda self, before: ""),
    saying="rows out of sight were taken for deleted ones",
)
def test_trap_34_rows_out_of_sight(tmp_path: Path) -> None:
    portal, ledger = StandIn(), Ledger(tmp_path / "crm.duckdb")
    facts = inspect(portal.client())
    assert facts.is_admin is True
    pipeline = loaded(tmp_path, portal.client(), ["deals"], _Kept(), NOW)
    assert ledger.lost_rights(facts.rights) == ""

    portal.portal.set_faults(FaultPlan(not_admin=True, rights_cut=0.2))
    facts = inspect(portal.client())
    assert facts.is_admin is False
    deals = [listed("deals")]
    (check,) = sweep.compare(portal.client(), pipeline, deals, as_of=NOW, last_ids={"deals": max(portal.ids("deals"))})
    assert check.extra
    sweep.mark_deleted(pipeline, [check], deals, as_of=NOW, forbidden=ledger.lost_rights(facts.rights))
    assert check.marked == 0, "rows out of sight were taken for deleted ones"
    assert "no administrator any more" in check.note


def _trusting_total(self: OffsetWalk, answers: Sequence[client.Envelope]) -> list[walks.Row]:
    self._is_lent, self._is_read = False, True
    return walks.rows_at(answers[0], self.entity.path, self.method)[: answers[0].total]


@trap(
    35,
    "`total` of currencies is 0, statuses ignore paging",
    Replaced(OffsetWalk, "give_back", _trusting_total),
    saying="a small list is not whole",
)
def test_trap_35_totals_of_small_lists() -> None:
    portal = StandIn()
    found = rows_of(portal.client(), OffsetWalk(listed("currencies")))
    assert len(found) == len(portal.ids("currencies")) > 0, "a small list is not whole"
    statuses = rows_of(portal.client(), OffsetWalk(listed("statuses")))
    assert numbers(statuses) == portal.ids("statuses")
    assert len(statuses) > PAGE_SIZE  # all in one answer


@trap(
    36,
    "addresses have no id, no usable `total` and no `next`",
    Declared("addresses", "ends_short", lambda one: replace(one, ends_short=False)),
    saying="addresses behind the first page are missing",
)
def test_trap_36_addresses_without_a_total() -> None:
    portal = PortalDouble()
    towns = [{"TYPE_ID": "1", "ENTITY_TYPE_ID": "8", "ENTITY_ID": str(number)} for number in range(1, 121)]

    def page(params: dict[str, Any]) -> Any:
        start = int(params.get("start", 0))
        return towns[start : start + PAGE_SIZE]

    portal.handlers["crm.address.list"] = bounded(page)
    found = rows_of(portal.client(), OffsetWalk(listed("addresses")))
    assert [row["ENTITY_ID"] for row in found] == [town["ENTITY_ID"] for town in towns], (
        "addresses behind the first page are missing"
    )


class _Renamed(PortalDouble):
    """Leads on to a new host; a request that lost its body on the way gets an empty answer, as any GET does."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "portal.test":
            return httpx.Response(302, headers={"location": f"https://new.test{request.url.path}"})
        if request.method == "GET":
            return httpx.Response(200, json={"result": []})
        return super().answer(request)


def _following(self: BitrixClient, method: str, payload: Mapping[str, Any], lane: int, *_: Any) -> Any:
    url = self._webhooks[lane].endpoint(method)
    return self._http.post(url, content=orjson.dumps(payload), follow_redirects=True)


@trap(
    37,
    "a renamed portal answers 302, and clients turn the POST into a GET",
    Replaced(BitrixClient, "_post", _following),
    saying="the request lost its body on the way",
)
def test_trap_37_renamed_portal() -> None:
    portal = _Renamed()
    portal.lists["crm.deal.list"] = rows([5])
    reader = portal.client()
    assert reader.call("crm.deal.list", {"start": -1}).result == [{"ID": "5"}], "the request lost its body on the way"
    assert (reader.host, reader.asked_host) == ("new.test", "portal.test")


@trap(38, "workers race to refresh a rotating token", by_design="by design: webhooks only, no token to refresh")
def test_trap_38_no_token_to_refresh() -> None:
    with pytest.raises(ConfigurationError):
        Webhook.parse("https://oauth.bitrix24.tech/oauth/token/?grant_type=refresh_token&refresh_token=1")
    portal = PortalDouble()
    sent: list[dict[str, Any]] = []

    def profile(params: dict[str, Any]) -> dict[str, Any]:
        sent.append(params)
        return {"ID": "1"}

    portal.handlers["profile"] = profile
    portal.client().call("profile")
    assert sent == [{}]  # no `auth`: the webhook's address is all there is
    assert [url.path for url in portal.urls] == [f"/rest/1/{SECRET}/profile"]
    portal.faults = [refusal(401, "expired_token")] * 2
    with pytest.raises(AccessError):
        portal.client().call("profile")
    assert len(portal.faults) == 1  # an expired token is final: nothing asks for another one
    texts = [path.read_text(encoding="utf-8") for path in Path(source.__file__).parent.glob("*.py")]
    assert len(texts) > 5
    assert not any("refresh_token" in text or "client_secret" in text for text in texts)


@pytest.mark.usefixtures("few_tables")
@trap(
    39,
    "the webhook is revoked, its owner dismissed, the plan lowered: all is refused",
    Entry(errors, "_BY_CODE", "no_auth_found", Kind.TRANSIENT),
    fails=PortalUnavailable,
    saying="does not answer",
)
def test_trap_39_a_webhook_that_is_no_more(tmp_path: Path) -> None:
    portal = StandIn(deals=160)
    pipeline = loaded(tmp_path, portal.client(), ["deals"], _Kept(), NOW)
    portal.portal.set_faults(FaultPlan(revoke_after=1))
    portal.requests = 0
    client_ = portal.client()
    client_.call("profile")
    with pytest.raises(AccessError, match="webhook still exists"):
        sweep.compare(client_, pipeline, [listed("deals")], as_of=NOW, last_ids={})
    assert portal.requests == 2  # fails at once
    with pipeline.sql_client() as sql:
        buried = sql.native_connection.execute("select count(_deleted_at) from raw_bitrix24.deals").fetchone()
    assert buried == (0,)


@trap(
    41,
    "votes and recordings reach a call later, and nothing tells of it",
    Declared("calls", "wide_days", lambda one: replace(one, wide_days=0)),
    saying="the vote is lost",
)
def test_trap_41_late_votes_of_calls() -> None:
    portal = PortalDouble()
    day = (NOW - 5 * DAY).isoformat()
    calls = {number: {"ID": str(number), "CALL_START_DATE": day, "CALL_VOTE": None} for number in range(1, 4)}
    portal.lists["voximplant.statistic.get"] = calls
    first, place = sync(portal.client(), listed("calls"), Position())
    assert ids(first) == [1, 2, 3]
    calls[2]["CALL_VOTE"] = "5"
    found, _ = sync(portal.client(), listed("calls"), place, NOW + DAY)
    assert "5" in [row["CALL_VOTE"] for row in found], "the vote is lost"


def _without_phones(one: Entity) -> Entity:
    kept = [name for name in one.params["select"] if name not in ("PHONE", "EMAIL")]
    return replace(one, params={**one.params, "select": kept})


@trap(
    42,
    "phones and e-mails come only if they are selected by name",
    Declared("contacts", "select", _without_phones),
    saying="contacts came without phones",
)
def test_trap_42_phones_must_be_selected() -> None:
    portal = StandIn()
    for table in ("leads", "contacts", "companies"):
        with_phone = {number for number, row in portal.world.tables[table].rows.items() if row.get("PHONE")}
        found = {int(row["ID"]) for row in rows_of(portal.client(), KeysetWalk(listed(table))) if row.get("PHONE")}
        assert found == with_phone, f"{table} came without phones"
        assert found
        assert {"phone", "email"} <= set(schema.TABLES[table])


@trap(
    43,
    "texts hold NUL, control characters, emoji, entities, BBCode",
    Replaced(records, "_storable", bytes),
    saying="NUL is stored",
)
def test_trap_43_odd_characters() -> None:
    title = "\0a\0 [b]Ж[/b] &quot;x&quot; \x07 \u2028 𝕏 🔥 \\u0000"
    row = orjson.dumps({"ID": "1", "TITLE": title})
    emoji = rb'{"ID":"2","TITLE":"\ud83d\udd25"}'  # as PHP writes four bytes
    found = ColumnWriter().to_columns("deals", [row, emoji], loaded_at="now").column("title").to_pylist()
    assert "\0" not in found[0], "NUL is stored"
    assert found == [title.replace("\0", ""), "🔥"]  # and all else is as it was


@trap(
    44,
    "`operating_reset_at` is missing or a text",
    Replaced(client, "_number", lambda value: None if value is None else float(value)),
    fails=ValueError,
    saying="could not convert string to float",
)
def test_trap_44_shapes_of_operating_time() -> None:
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(1, 121))
    for time in (
        {"operating": 3, "operating_reset_at": "2026-06-15T12:10:00+03:00"},
        {"operating": "3.5", "operating_reset_at": "soon"},
        {"operating": 4.5},
        {},
    ):
        portal.times["crm.deal.list"] = time
        assert len(rows_of(portal.client(), KeysetWalk(DEALS))) == 120
    at = datetime(2026, 6, 15, 9, 10, tzinfo=UTC).timestamp()
    parsed = [client.PortalTime.parse({"operating_reset_at": value}).reset_at for value in ("soon", None, at, str(at))]
    assert parsed == [None, None, at, at]
