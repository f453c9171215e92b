import io
import logging
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from bitrix24_double import SECRET, WEBHOOK_URL, FakeClock, PortalDouble, Refusal, parse, rows

from dlt_sources.bitrix24.client import (
    OPERATING_MARGIN,
    BitrixClient,
    Command,
    CommandError,
    Envelope,
    OperatingTime,
    PortalTime,
    TokenBucket,
    to_query,
)
from dlt_sources.bitrix24.entities import ENTITIES, Entity, Family
from dlt_sources.bitrix24.errors import (
    AccessError,
    BatchTimeoutError,
    BitrixError,
    ConfigurationError,
    Kind,
    PortalError,
    PortalUnavailable,
    classify,
)
from dlt_sources.bitrix24.preflight import inspect
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Reader, Row, Walk
from dlt_sources.bitrix24.webhook import Webhook

DEALS = Entity("deals", "crm.deal.list", "crm", Family.CHANGES)
LEADS = Entity("leads", "crm.lead.list", "crm", Family.CHANGES)
PROFILE = {"p": Command("profile", {})}


def error(status: int, code: Any, description: str = "") -> httpx.Response:
    return httpx.Response(status, json={"error": code, "error_description": description})


def ids(read: Iterable[list[tuple[Walk, list[Row]]]]) -> list[str]:
    return [orjson.loads(bytes(row))["ID"] for brought in read for _, taken in brought for row in taken]


def html(status: int) -> httpx.Response:
    return httpx.Response(status, text="<html>Maintenance</html>", headers={"content-type": "text/html"})


@pytest.fixture
def portal() -> PortalDouble:
    double = PortalDouble()
    double.handlers["profile"] = lambda _: {"ID": "1", "ADMIN": True, "NAME": "Анна", "LAST_NAME": "Тест"}
    return double


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    root = logging.getLogger()
    level, factory = root.level, logging.getLogRecordFactory()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield output
    root.removeHandler(handler)
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


def test_the_bucket_lets_a_burst_pass_and_then_the_rate(portal: PortalDouble) -> None:
    """At the default share: 25 at once, then 1.8 a second, so 61 requests take 20 seconds."""
    client = portal.client()
    start = portal.clock.now
    for _ in range(25):
        client.call("profile")
    assert portal.clock.now == start
    for _ in range(36):
        client.call("profile")
    assert portal.clock.now - start == pytest.approx(36 / 1.8, abs=0.1)


def test_the_whole_share_uses_the_whole_bucket(portal: PortalDouble) -> None:
    """Benchmarks run at share 1: 50 at once (less a margin for requests that bunch up on the way), then 2 a second."""
    client = portal.client(share=1)
    start = portal.clock.now
    for _ in range(70):
        client.call("profile")
    assert portal.clock.now - start == pytest.approx(20.5 / 2, abs=0.1)


def test_a_share_outside_its_range_is_refused(portal: PortalDouble) -> None:
    """More than the portal gives would only collect refusals."""
    for share in (0, -1, 1.1):
        with pytest.raises(ConfigurationError):
            portal.client(share=share)


def test_a_refusal_halves_the_rate_for_a_minute() -> None:
    """Somebody else fills the bucket too."""
    portal = PortalDouble()
    bucket = TokenBucket(2.0, 10, clock=portal.clock, sleep=portal.clock.sleep)
    bucket.halve()
    start = portal.clock.now
    for _ in range(10):
        bucket.acquire()
    assert portal.clock.now - start == pytest.approx(10, abs=0.1)
    portal.clock.now += 60
    for _ in range(10):
        bucket.acquire()
    start = portal.clock.now
    for _ in range(10):
        bucket.acquire()
    assert portal.clock.now - start == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(
    "fault",
    [
        error(503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
        error(500, "INTERNAL_SERVER_ERROR"),
        error(500, "ERROR_UNEXPECTED_ANSWER"),
        html(502),
        html(503),
        html(504),
        html(200),
        httpx.Response(200, content=b'{"result": [{"ID"', headers={"content-type": "application/json"}),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("no route"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("truncated"),
        error(400, 0, "something"),
        error(400, "", "Failed to get list. General error."),
    ],
)
def test_a_passing_fault_is_retried(portal: PortalDouble, fault: httpx.Response | Exception) -> None:
    """One fault of any kind costs a retry and a pause, not the run."""
    portal.faults = [fault]
    client = portal.client()
    assert client.call("profile").result["NAME"] == "Анна"
    assert (client.usage.requests, client.usage.retries) == (2, 1)
    assert portal.clock.slept[0] >= 1


@pytest.mark.parametrize(
    ("fault", "requests"),
    [(html(502), 6), (httpx.ConnectError("no route"), 6), (error(503, "QUERY_LIMIT_EXCEEDED"), 15)],
)
def test_a_lasting_fault_ends_with_one_clear_error(
    portal: PortalDouble, fault: httpx.Response | Exception, requests: int
) -> None:
    """Retries are bounded, in number and in time."""
    portal.faults = [fault] * 100
    client = portal.client()
    start = portal.clock.now
    with pytest.raises(PortalUnavailable, match="does not answer"):
        client.call("profile")
    assert client.usage.requests == requests
    assert portal.clock.now - start < 900


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (error(401, "NO_AUTH_FOUND", "Wrong authorization data"), AccessError),
        (error(403, "INVALID_CREDENTIALS"), AccessError),
        (error(403, "insufficient_scope"), AccessError),
        (error(401, "expired_token"), AccessError),
        (html(403), AccessError),
        (error(200, "NO_AUTH_FOUND"), AccessError),
        (error(503, "OVERLOAD_LIMIT"), PortalUnavailable),
        (error(500, "PORTAL_DELETED"), PortalError),
        (error(404, "ERROR_METHOD_NOT_FOUND"), AccessError),
        (error(400, "INVALID_ARG_VALUE"), PortalError),
        (html(404), PortalError),
    ],
)
def test_a_refusal_is_not_retried(portal: PortalDouble, fault: httpx.Response, kind: type[BitrixError]) -> None:
    """Repeating a wrong password looks like an attack, and nothing changes until a person acts."""
    portal.faults = [fault] * 3
    client = portal.client()
    with pytest.raises(kind):
        client.call("profile")
    assert client.usage.requests == 1
    assert portal.clock.slept == []


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": "query_limit_exceeded"}, 503, Kind.THROTTLED),
        ({"error": "OPERATION_TIME_LIMIT"}, None, Kind.OPERATING),
        ({"error": ""}, 429, Kind.OPERATING),
        ({"error": "Insufficient_Scope"}, None, Kind.DENIED),
        ({"error": 200040300010}, 400, Kind.DENIED),
        ({"error": "200040300010"}, None, Kind.DENIED),
        ({"error": "", "error_description": "Access denied."}, 400, Kind.DENIED),
        ({"error": 0, "error_description": "Access denied. (internal error)"}, None, Kind.DENIED),
        ({"error": "ERROR_CORE", "error_description": "ACTION_NOT_ALLOWED"}, 400, Kind.DENIED),
        ({"error": 0}, 400, Kind.TRANSIENT),
        ({"error": 100}, 400, Kind.REFUSED),
        ({"error": "ERROR_BATCH_LENGTH_EXCEEDED"}, None, Kind.REFUSED),
        ({"error": {"code": "BITRIX_REST_V3_EXCEPTION_X", "message": "no"}}, 400, Kind.REFUSED),
        ({}, 502, Kind.TRANSIENT),
    ],
)
def test_errors_are_told_apart_however_they_are_spelled(body: dict[str, Any], status: int | None, kind: Kind) -> None:
    """Codes come empty, as 0, as numbers, in any case; then status and description decide."""
    assert classify(body, status).kind is kind


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_renamed_portal_is_followed_with_the_body(portal: PortalDouble, status: int) -> None:
    """An automatic redirect would turn the POST into a GET; the new host serves all later calls."""
    portal.faults = [httpx.Response(status, headers={"location": "https://renamed.test/"})]
    portal.lists["crm.deal.list"] = rows([5])
    client = portal.client()
    assert client.call("crm.deal.list", {"start": -1}).result == [{"ID": "5"}]
    client.call("profile")
    assert [url.host for url in portal.urls] == ["portal.test", "renamed.test", "renamed.test"]
    assert portal.urls[1].path == f"/rest/1/{SECRET}/crm.deal.list"
    assert client.host == "renamed.test"


def test_redirects_in_a_circle_end(portal: PortalDouble) -> None:
    """Two hosts that name each other."""
    hosts = ["https://a.test/", "https://portal.test/"] * 3
    portal.faults = [httpx.Response(302, headers={"location": host}) for host in hosts]
    with pytest.raises(PortalUnavailable, match="circle"):
        portal.client().call("profile")


def test_a_fault_after_many_throttled_requests_gets_its_own_retries(portal: PortalDouble) -> None:
    """A busy portal throttles a dozen times in a row; one gateway page behind that must not end the run."""
    portal.faults = [
        *[error(503, "QUERY_LIMIT_EXCEEDED")] * 8,
        html(502),
        error(503, "QUERY_LIMIT_EXCEEDED"),
        html(502),
    ]
    client = portal.client()
    assert client.call("profile").result["ID"] == "1"
    assert client.usage.retries == 11


def test_the_request_is_a_json_post_with_a_name(portal: PortalDouble) -> None:
    """Technical agents may be refused, and nested filters need JSON."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"result": True})

    with BitrixClient(Webhook.parse(WEBHOOK_URL), in_flight=1, transport=httpx.MockTransport(answer)) as client:
        client.call("crm.deal.list", {"filter": {">ID": 5}})
    assert seen[0].method == "POST"
    assert seen[0].headers["content-type"] == "application/json"
    assert "bitrix24-analytics" in seen[0].headers["user-agent"]
    assert seen[0].content == b'{"filter":{">ID":5}}'


def test_commands_are_encoded_once_and_survive_php() -> None:
    """A raw plus becomes a space and ruins a date; & and # end the command."""
    params = {"filter": {">=DATE_MODIFY": "2026-01-01T00:00:00+03:00", "%TITLE": "a&b #1 = 100% «ё»"}, "select": ["ID"]}
    query = to_query({**params, "ADMIN_MODE": True, "start": -1})
    assert "+" not in query
    assert " " not in query
    assert parse(query) == {**params, "select": {"0": "ID"}, "ADMIN_MODE": "1", "start": "-1"}


def test_a_batch_reports_each_command_by_its_key(portal: PortalDouble) -> None:
    """The batch is a success even if every command failed."""
    portal.command_faults = [None, Refusal("ACCESS_DENIED", "no"), None]
    outcomes = portal.client().batch({key: Command("profile", {}) for key in ("a", "b", "c")})
    assert list(outcomes) == ["a", "b", "c"]
    assert isinstance(outcomes["a"], Envelope)
    failed = outcomes["b"]
    assert isinstance(failed, CommandError)
    assert (failed.method, failed.failure.kind) == ("profile", Kind.DENIED)


def test_a_command_without_an_answer_counts_as_a_fault(portal: PortalDouble) -> None:
    """Commands vanish without a word when the portal cannot read them."""
    portal.faults = [httpx.Response(200, json={"result": {"result": [], "result_error": []}})]
    outcome = portal.client().batch(PROFILE)["p"]
    assert isinstance(outcome, CommandError)
    assert outcome.failure.kind is Kind.TRANSIENT


def test_a_batch_has_one_to_fifty_commands(portal: PortalDouble) -> None:
    """The fifty-first would fail by itself."""
    with pytest.raises(ValueError, match="1 to 50"):
        portal.client().batch({f"c{number}": Command("profile", {}) for number in range(51)})
    with pytest.raises(ValueError, match="1 to 50"):
        portal.client().batch({})


def test_a_dead_webhook_inside_a_batch_stops_the_run(portal: PortalDouble) -> None:
    """It is not one table's problem."""
    portal.command_faults = [Refusal("NO_AUTH_FOUND")]
    with pytest.raises(AccessError) as caught:
        portal.client().batch(PROFILE)
    assert caught.value.code == "NO_AUTH_FOUND"


@pytest.mark.parametrize("code", ["INVALID_CREDENTIALS", "WRONG_LICENSE", "user_access_error", "WRONG_AUTH_TYPE"])
def test_inside_a_batch_a_refused_right_is_that_of_one_method(portal: PortalDouble, code: str) -> None:
    """The batch itself has passed: calls that the plan leaves out must not cost the deals."""
    portal.command_faults = [Refusal(code)]
    outcome = portal.client().batch(PROFILE)["p"]
    assert isinstance(outcome, CommandError)
    assert outcome.failure.kind is Kind.DENIED


def test_a_slow_batch_is_cut_in_half_until_it_passes(portal: PortalDouble) -> None:
    """Heavy pages run into the time limit of one request."""
    portal.lists["crm.deal.list"] = rows(range(1, 1001))
    portal.faults = [httpx.ReadTimeout("slow")] * 2  # two attempts with 3 commands: two places to try, and the end
    walk = KeysetWalk(DEALS, max_id=1000)
    arrived = ids(Reader(portal.client()).read([walk]))
    assert arrived == [str(number) for number in range(1, 1001)]
    assert [len(batch) for batch in portal.batches[:3]] == [1, 2, 3]  # and slowly back


def test_a_batch_that_times_out_says_so(portal: PortalDouble) -> None:
    """Only then fewer commands help."""
    portal.faults = [httpx.ReadTimeout("slow")] * 2
    with pytest.raises(BatchTimeoutError):
        portal.client().batch({"a": Command("profile", {}), "b": Command("profile", {})})


def test_a_method_out_of_time_rests_until_its_reset_while_others_go_on(portal: PortalDouble) -> None:
    """The budget is the method's own. The wait goes by the portal's clock, an hour ahead of ours."""
    portal.lists = {"crm.deal.list": rows(range(1, 151)), "crm.lead.list": rows(range(1, 501))}
    there = portal.clock.now + 3600
    portal.times["crm.deal.list"] = {"operating": 300, "operating_reset_at": int(there) + 120, "finish": there}
    first = [None] * 4 + [Refusal("OPERATION_TIME_LIMIT")] * 2  # both walks begin with two pages
    deals, leads = KeysetWalk(DEALS), KeysetWalk(LEADS)
    portal.command_faults = first
    start = portal.clock.now
    client = portal.client()
    order: list[str] = []
    for brought in Reader(client).read([deals, leads]):
        order += [f"{walk.method}:{len(taken)}" for walk, taken in brought]
        if leads.done and not deals.done:
            assert portal.clock.now == start  # leads did not wait
    assert (deals.left, leads.left) == (((150, None),), ((500, None),))
    assert portal.clock.now - start == pytest.approx(121, abs=0.5)
    assert client.usage.refusals == 2


def test_an_unknown_reset_is_waited_for_in_growing_steps(portal: PortalDouble) -> None:
    """A 429 carries no time; a minute, then two, then three."""
    portal.lists["crm.deal.list"] = rows([1])
    portal.command_faults = [Refusal("OPERATION_TIME_LIMIT")] * 3
    start = portal.clock.now
    walk = KeysetWalk(DEALS)
    for _ in Reader(portal.client()).read([walk]):
        pass
    assert walk.left == ((1, None),)
    assert portal.clock.now - start == pytest.approx(60 + 120 + 180)


def test_a_method_that_never_comes_back_ends_the_run(portal: PortalDouble) -> None:
    """An hour of refusals means that somebody else uses the webhook up."""
    portal.lists["crm.deal.list"] = rows([1])
    portal.command_faults = [Refusal("OPERATION_TIME_LIMIT")] * 1000
    start = portal.clock.now
    with pytest.raises(PortalUnavailable, match="operating time"):
        for _ in Reader(portal.client()).read([KeysetWalk(DEALS)]):
            pass
    assert 3600 < portal.clock.now - start < 4500


def test_a_429_of_a_single_call_waits_too(portal: PortalDouble) -> None:
    """Outside of a batch the same limit is an HTTP status."""
    portal.faults = [error(429, "OPERATION_TIME_LIMIT")]
    client = portal.client()
    assert client.call("profile").result["ID"] == "1"
    assert portal.clock.slept == [60]
    assert client.usage.refusals == 1


def test_no_more_is_asked_of_a_method_than_its_budget_holds(portal: PortalDouble) -> None:
    """At 470 of 480 s two commands of 1 s each would fit twice over, but of 5 s none does until the next reset."""
    portal.times["profile"] = {"operating": 470.0, "operating_reset_at": 1_800_000_030, "finish": 1_800_000_000}
    portal.times["profile"]["duration"] = 1.0
    client = portal.client()
    client.batch(PROFILE)
    assert client.allowance("profile") == 2  # 1.5 % of the budget stays unused
    assert client.wait_s("profile") == 0
    portal.times["profile"] |= {"operating": 475.0, "finish": 1_800_000_001}
    client.batch(PROFILE)
    assert client.allowance("profile") == 0
    assert client.wait_s("profile") == pytest.approx(29.5)
    portal.clock.now += 29.5
    assert client.allowance("profile") == 1  # how much time left the window only an answer tells


def test_commands_under_way_count_against_the_budget() -> None:
    """Many requests run side by side, and each of them is told only what was used before it."""
    clock = FakeClock()
    operating = OperatingTime(100 / (1 - OPERATING_MARGIN), clock)
    operating.passed("m", PortalTime(operating=60.0, duration=10.0, finish=1.0, reset_at=61.0))
    assert operating.allowance("m") == 4
    reserved = operating.reserve(["m", "m", "m"])
    assert operating.allowance("m") == 1
    operating.settle(reserved)
    assert operating.allowance("m") == 4


def test_an_answer_overtaken_by_a_later_one_changes_nothing() -> None:
    """Its work is already in the sum that the later one told; taken for a fall, it would open the budget again."""
    operating = OperatingTime(100, FakeClock())
    operating.passed("m", PortalTime(operating=50.0, duration=1.0, finish=10.0))
    operating.passed("m", PortalTime(operating=20.0, duration=1.0, finish=5.0))
    assert operating.allowance("m") == 1  # 98.5 - 50 seconds; between the two answers the sum grew by 30


@pytest.mark.parametrize("reset_at", [None, "2026-06-15T12:02:00+03:00", "soon", 1_781_514_120])
def test_the_reset_time_is_read_leniently(portal: PortalDouble, reset_at: Any) -> None:
    """Samples show integers, ISO strings, and nothing; 1781514120 is the same instant as that string."""
    portal.times["profile"] = {"operating": 1, "operating_reset_at": reset_at, "finish": 1_781_514_000.0}
    client = portal.client()
    client.batch(PROFILE)
    portal.command_faults = [Refusal("OPERATION_TIME_LIMIT")]
    client.batch(PROFILE)
    known = reset_at not in (None, "soon")
    assert client.wait_s("profile") == pytest.approx(121 if known else 60)


def test_operating_time_is_summed_by_method(portal: PortalDouble) -> None:
    """The portal tells a running sum; the first answer counts with its own duration."""
    client = portal.client()
    for operating, duration in ((100.0, 0.5), (102.5, 9.0), (80.0, 0.25)):
        portal.times["profile"] = {"operating": operating, "duration": duration}
        client.batch(PROFILE)
    assert client.usage.operating_s["profile"] == pytest.approx(0.5 + 2.5 + 0.25)


def test_offset_pages_end_where_the_portal_names_no_next_one(portal: PortalDouble) -> None:
    """Past the end these lists begin anew, so counting on would never end."""
    departments = Entity("departments", "department.get", "department", Family.DICTIONARY)
    table = [{"ID": str(number)} for number in range(1, 121)]
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        line = httpx.Response(200, content=request.content).json()["cmd"]["w0p0"]
        start = int(parse(line.partition("?")[2]).get("start", 0))
        asked.append(start)
        begin = start if start < len(table) else 0
        parts: dict[str, Any] = {"result": {"w0p0": table[begin : begin + 50]}, "result_error": []}
        parts["result_next"] = {"w0p0": start + 50} if start + 50 < len(table) else []
        return httpx.Response(200, json={"result": parts})

    walk = OffsetWalk(departments)
    client = BitrixClient(Webhook.parse(WEBHOOK_URL), in_flight=1, transport=httpx.MockTransport(answer))
    arrived = ids(Reader(client).read([walk]))
    assert arrived == [row["ID"] for row in table]
    assert asked == [0, 50, 100]


def test_a_list_that_repeats_its_first_page_is_refused(portal: PortalDouble) -> None:
    """Taken for the end, it would silently lose every department behind the fiftieth."""
    departments = Entity("departments", "department.get", "department", Family.DICTIONARY)
    part = {"result": {"w0p0": [{"ID": str(number)} for number in range(50)]}, "result_next": {"w0p0": 50}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"result": part}))
    client = BitrixClient(Webhook.parse(WEBHOOK_URL), in_flight=1, transport=transport)
    with pytest.raises(PortalError, match=r"department\.get begins anew"):
        list(Reader(client).read([OffsetWalk(departments)]))


def test_departments_name_their_offset_in_both_ways() -> None:
    """Their page calls it START, the general rules `start`; a portal may read only one of them."""
    walk = OffsetWalk(next(entity for entity in ENTITIES if entity.table == "departments"))
    walk.lease(1, "d", walk.method).take({"dp0": Envelope(b'[{"ID": "1"}]', next=50)})
    (command,) = walk.lease(1, "d", walk.method).commands.values()
    assert command.params == {"sort": "ID", "order": "ASC", "start": 50, "START": 50}


def test_preflight_is_one_request(portal: PortalDouble) -> None:
    """Who, since when, with which rights, and how large; what is refused is named, not fatal."""
    portal.handlers |= {
        "scope": lambda _: ["crm", "user"],
        "server.time": lambda _: "2026-06-15T09:00:00+00:00",
        "crm.currency.base.get": lambda _: "RUB",
        "crm.settings.mode.get": lambda _: 1,
    }
    portal.lists = {"crm.deal.list": rows([4, 900]), "crm.lead.list": {}, "crm.stagehistory.list": rows([31])}
    portal.paths = {"crm.stagehistory.list": ("items",)}
    client = portal.client()
    facts = inspect(client)
    assert client.usage.requests == 1
    assert facts.as_of == datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
    assert facts.utc_offset == timedelta(hours=3)
    assert (facts.user_name, facts.is_admin, facts.base_currency, facts.has_leads) == ("Анна Тест", True, "RUB", True)
    assert facts.scopes == {"crm", "user"}
    expected = {"deals": 900, "leads": 0, "deal_stage_history": 31, "lead_stage_history": 31}
    assert expected.items() <= facts.max_ids.items()
    assert "ERROR_METHOD_NOT_FOUND" in facts.refused["calls"]


def test_preflight_survives_a_portal_that_tells_nothing(portal: PortalDouble) -> None:
    """`b24 check` is asked when something is wrong, so no refusal may end it; unknown is not the same as none."""

    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal(0, "Something else")

    portal.handlers = dict.fromkeys(("profile", "scope", "crm.currency.base.get", "crm.deal.list"), refuse)
    portal.lists = {"crm.lead.list": rows([7])}
    facts = inspect(portal.client(), dictionaries=True)
    assert (facts.is_admin, facts.scopes, facts.base_currency, facts.has_leads) == (None, None, None, None)
    assert facts.max_ids == {"leads": 7}
    assert {"deals", "pipelines", "statuses", "currencies", "custom_fields"} <= facts.refused.keys()


@pytest.mark.parametrize(
    "faults",
    [
        [error(401, "NO_AUTH_FOUND", f"wrong code {SECRET}")],
        [error(400, "X", f"see {WEBHOOK_URL}")],
        [httpx.ReadTimeout(f"timeout at {WEBHOOK_URL}")] * 6,
        [httpx.ConnectError(f"cannot reach {WEBHOOK_URL}")] * 6,
        [httpx.Response(302, headers={"location": f"http://evil.test/rest/1/{SECRET}/"})],
        [httpx.Response(302, headers={"location": f"https://portal.test:{SECRET}/"})] * 6,
        [httpx.Response(302, headers={"location": f"https://{host}.test/rest/1/{SECRET}/"}) for host in "abcd"],
    ],
)
def test_no_failure_shows_the_secret(
    portal: PortalDouble, faults: list[httpx.Response | Exception], debug_log: io.StringIO, capfd: Any
) -> None:
    """Not in the message, not in the traceback, not in a debug log, not on the terminal."""
    portal.faults = faults
    client = portal.client()
    with pytest.raises(BitrixError) as caught:
        client.call("profile")
    logging.getLogger("caller").exception("run failed", exc_info=caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(client) + debug_log.getvalue()
    shown += "".join(capfd.readouterr())
    assert "run failed" in shown
    assert SECRET not in shown


def with_a_twin(portal: PortalDouble, count: int) -> Entity:
    items = Entity("deals", "crm.item.list", "crm", Family.CHANGES, path=("items",), id="id", filter_id="id")
    portal.lists = {"crm.deal.list": rows(range(1, count + 1))}
    portal.lists["crm.item.list"] = {number: {"id": number} for number in range(1, count + 1)}
    portal.paths = {"crm.item.list": ("items",)}
    there = portal.clock.now
    portal.times["crm.deal.list"] = {"operating": 479, "operating_reset_at": int(there) + 600, "finish": there}
    return replace(DEALS, twin=items)


def test_a_walk_goes_on_by_another_method_while_its_own_rests(portal: PortalDouble) -> None:
    """Working time is counted by method, so the same rows cost a portal's rest only once both are used up."""
    walk = KeysetWalk(with_a_twin(portal, 1000), max_id=1000)
    start = portal.clock.now
    brought = [rows for turn in Reader(portal.client()).read([walk]) for _, rows in turn]
    arrived = [orjson.loads(bytes(row)) for taken in brought for row in taken]
    assert sorted(int(row.get("ID") or row["id"]) for row in arrived) == list(range(1, 1001))
    assert {"ID", "id"} == {key for row in arrived for key in row}
    assert portal.clock.now == start  # nobody waited for the reset in ten minutes


def test_a_method_that_is_refused_is_no_loss_where_there_is_another(portal: PortalDouble) -> None:
    """A plan may lack the newer method; the walk then waits for its own one."""
    entity = with_a_twin(portal, 1500)
    del portal.lists["crm.item.list"]
    walk = KeysetWalk(entity, max_id=1500)
    start = portal.clock.now
    assert sorted(map(int, ids(Reader(portal.client()).read([walk])))) == list(range(1, 1501))
    assert portal.clock.now - start >= 600
    assert walk.methods == ("crm.deal.list",)


def test_webhooks_with_other_rights_are_refused_together() -> None:
    """What one of them may not see would be missing from the pages that it read."""

    def answer(request: httpx.Request) -> httpx.Response:
        user = request.url.path.split("/")[2]
        profile = {"ID": user, "ADMIN": user == "1"}
        results = {"profile": profile, "scope": ["crm"], "server.time": "2026-06-15T09:00:00+00:00"}
        method = request.url.path.rsplit("/", 1)[1]
        if method != "batch":
            return httpx.Response(200, json={"result": results[method]})
        commands = orjson.loads(request.content)["cmd"]
        parts = {key: results.get(line.partition("?")[0], []) for key, line in commands.items()}
        return httpx.Response(200, json={"result": {"result": parts}})

    webhooks = [Webhook.parse(f"https://portal.test/rest/{user}/{SECRET}{user}/") for user in (1, 2)]
    with pytest.raises(ConfigurationError, match="no administrator"):
        inspect(BitrixClient(webhooks, in_flight=1, transport=httpx.MockTransport(answer)))
    with pytest.raises(ConfigurationError, match="same portal"):
        BitrixClient([webhooks[0], Webhook.parse(f"https://other.test/rest/1/{SECRET}/")])


def test_each_webhook_brings_a_budget_of_its_own(portal: PortalDouble) -> None:
    """A portal counts working time by method and webhook; requests of all of them fill one bucket."""
    portal.lists = {"crm.deal.list": rows(range(1, 1001))}
    there = portal.clock.now
    portal.times["crm.deal.list"] = {"operating": 479, "operating_reset_at": int(there) + 600, "finish": there}
    webhooks = [Webhook.parse(WEBHOOK_URL), Webhook.parse(WEBHOOK_URL.replace("/1/", "/7/"))]
    transport = httpx.MockTransport(portal.answer)
    client = BitrixClient(webhooks, in_flight=1, transport=transport, clock=portal.clock, sleep=portal.clock.sleep)
    for _ in Reader(client).read([KeysetWalk(DEALS, max_id=1000)]):
        if {url.path.split("/")[2] for url in portal.urls} == {"1", "7"}:
            break
    assert portal.clock.now == there
