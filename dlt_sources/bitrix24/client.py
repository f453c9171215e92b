"""HTTP to one portal: calls and batches, within its limits, with retries; knows no table."""

import logging
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import orjson
import tenacity

from dlt_sources.bitrix24.errors import (
    TRANSIENT_RETRIES,
    AccessError,
    BatchTimeoutError,
    BitrixError,
    ConfigurationError,
    Failure,
    Kind,
    PortalError,
    PortalUnavailable,
    classify,
)
from dlt_sources.bitrix24.webhook import Webhook, protect_logs, redact

BATCH_SIZE = 50
PAGE_SIZE = 50

# Bitrix24 REST docs, limits.md: ordinary plans leak 2 requests/s out of a bucket of 50
PORTAL_RATE_PER_S = 2.0
PORTAL_BURST = 50
OPERATING_BUDGET_S = 480.0
OPERATING_CAUTION = 0.8  # share of the budget from which a method is slowed down

REQUEST_TIMEOUT_S = 75.0  # the cloud kills a request after 60 s, so its own answer comes first
CONNECT_TIMEOUT_S = 15.0
BACKOFF_MAX_S = 60.0
THROTTLED_ATTEMPTS = 15  # about nine minutes
BATCH_TIMEOUT_ATTEMPTS = 2
HALVED_FOR_S = 60.0
PARK_UNKNOWN_S = 60.0
PARK_AGAIN_S = 10.0
PARK_MAX_S = 600.0
PARK_TOTAL_S = 3600.0
REDIRECTS_MAX = 3
# refusals of a webhook that, inside a batch, are those of one method: a right, the plan, the kind of authorisation
OF_ONE_METHOD = frozenset({"invalid_credentials", "user_access_error", "wrong_auth_type", "wrong_license"})
USER_AGENT = "bitrix24-analytics (+python-httpx)"

log = logging.getLogger(__name__)


class Command(NamedTuple):
    """One command of a batch. A parameter may refer to an earlier one: `$result[<key>][49][ID]`."""

    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class PortalTime:
    """The `time` part of an answer; every field may be missing. Seconds; `reset_at` and `finish` are Unix times."""

    date_start: datetime | None = None
    finish: float | None = None
    duration: float | None = None
    operating: float | None = None
    reset_at: float | None = None

    @classmethod
    def parse(cls, value: Any) -> "PortalTime":
        """Read what is there; samples have integers, strings and missing keys."""
        if not isinstance(value, Mapping):
            return cls()
        return cls(
            date_start=_instant(value.get("date_start")),
            finish=_number(value.get("finish")),
            duration=_number(value.get("duration")),
            operating=_number(value.get("operating")),
            reset_at=_number(value.get("operating_reset_at")),
        )


@dataclass(frozen=True)
class Envelope:
    """A successful answer: `result` as sent, `total` and `next` (offset of the next page) where the method pages."""

    result: Any
    total: int | None = None
    next: int | None = None
    time: PortalTime = PortalTime()
    operating_s: float = 0.0  # operating time that this command used up


@dataclass(frozen=True)
class CommandError:
    """A batch command that failed while the batch itself passed."""

    method: str
    failure: Failure


@dataclass
class Usage:
    """What this client asked of the portal so far."""

    requests: int = 0
    commands: int = 0
    refusals: int = 0  # limits hit: 503 for a request, 429 for a command
    retries: int = 0
    operating_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # by method


class TokenBucket:
    """Lets `capacity` requests pass at once and `rate_per_s` after that; the clock and the sleep are given."""

    def __init__(
        self, rate_per_s: float, capacity: float, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rate_per_s, self._capacity, self._clock, self._sleep = rate_per_s, capacity, clock, sleep
        self._tokens = capacity
        self._filled_at = clock()
        self._halved_until = float("-inf")

    def acquire(self) -> None:
        """Wait for a place and take it."""
        self._refill()
        while self._tokens < 1:
            # a clock that ticks coarsely may wake a moment early, hence the loop and the floor
            self._sleep(max((1 - self._tokens) / self._rate(), 0.001))
            self._refill()
        self._tokens -= 1

    def halve(self) -> None:
        """Empty the bucket and halve the rate for a minute: the portal is fuller than we think."""
        self._refill()
        self._tokens = 0.0
        self._halved_until = self._clock() + HALVED_FOR_S

    def _rate(self) -> float:
        return self._rate_per_s / 2 if self._clock() < self._halved_until else self._rate_per_s

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate())
        self._filled_at = now


class OperatingTime:
    """Operating time per method: what was used, and until when a method is to be left alone."""

    def __init__(self, budget_s: float, clock: Callable[[], float]) -> None:
        self._budget_s, self._clock = budget_s, clock
        self._used_s: dict[str, float] = {}
        self._reset: dict[str, float] = {}  # local instant at which the portal takes time off
        self._parked: dict[str, float] = {}
        self._waited: dict[str, float] = {}  # parked since the last success
        self._refused: Counter[str] = Counter()

    def wait_s(self, method: str) -> float:
        """Seconds for which the method should still be left alone."""
        return max(0.0, self._parked.get(method, float("-inf")) - self._clock())

    def passed(self, method: str, answer: PortalTime) -> float:
        """Note a success; returns the operating seconds it used. Past 80 % of the budget the method is slowed down."""
        self._waited.pop(method, None)
        del self._refused[method]
        if answer.operating is None:
            return answer.duration or 0.0
        known = self._used_s.get(method)
        self._used_s[method] = answer.operating
        until_reset = float("inf")
        if answer.reset_at is not None and answer.finish is not None:
            # both by the portal's clock, so that its offset from ours does not matter
            until_reset = max(0.0, answer.reset_at - answer.finish)
            self._reset[method] = self._clock() + until_reset
        excess = answer.operating - OPERATING_CAUTION * self._budget_s
        if excess > 0:
            self._parked[method] = self._clock() + min(excess, until_reset)
        if known is None or answer.operating < known:
            return answer.duration or 0.0
        return answer.operating - known

    def refused(self, method: str) -> None:
        """Note a 429: leave the method alone until its reset, or, where that is unknown or past, for growing steps.

        Raises:
            PortalUnavailable: refused for an hour in a row.
        """
        now = self._clock()
        self._refused[method] += 1
        until_reset = self._reset.get(method, float("-inf")) - now
        if until_reset > 0:
            wait = until_reset + 1
        elif method in self._reset:
            # time leaves in one-minute portions, so the first reset may free too little
            wait = min(PARK_AGAIN_S * 2 ** (self._refused[method] - 1), PARK_UNKNOWN_S)
        else:
            wait = min(PARK_UNKNOWN_S * self._refused[method], PARK_MAX_S)
        waited = self._waited.get(method, 0.0)
        if waited > PARK_TOTAL_S:
            raise PortalUnavailable(
                f"The portal has refused {method} for {waited / 60:.0f} minutes: its operating time is used up. "
                "Something else may be reading through the same webhook; run again later, nothing loaded is lost."
            )
        self._waited[method] = waited + wait
        self._parked[method] = max(self._parked.get(method, now), now + wait)
        log.info("%s is out of operating time; it rests for %.0f s", method, wait)


class _Retryable(Exception):  # noqa: N818  never leaves this module
    """A request that may pass when repeated."""

    def __init__(self, failure: Failure, *, is_timeout: bool = False) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.is_timeout = is_timeout


class BitrixClient:
    """Calls the REST methods of one portal, within our share of its limits. Not for use by several threads.

    Args:
        webhook: where to and as whom. Its code is kept out of every log record from here on.
        share: our share of the portal's request rate, 0 to 1; 0.9 also leaves half of the burst to others.
        operating_budget_s: operating seconds per method in ten minutes before the portal refuses it.
        transport, clock, sleep: replaced in tests; clock and sleep in seconds.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        share: float = 0.9,
        operating_budget_s: float = OPERATING_BUDGET_S,
        timeout_s: float = REQUEST_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 < share <= 1:
            raise ConfigurationError("The share of the portal's limits must be more than 0 and at most 1.")
        protect_logs(webhook)
        self.usage = Usage()
        self.started_at: datetime | None = None  # the portal's clock when it began its first answer
        self.asked_host = webhook.host  # differs from `host` once the portal was renamed
        self._webhook = webhook
        self._clock, self._sleep = clock, sleep
        burst = PORTAL_BURST if share == 1 else max(1.0, PORTAL_BURST * share * 0.5 / 0.9)
        self._bucket = TokenBucket(PORTAL_RATE_PER_S * share, burst, clock=clock, sleep=sleep)
        self._operating = OperatingTime(operating_budget_s, clock)
        self._http = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Content-Type": "application/json"},
            trust_env=not webhook.is_loopback,  # a proxy cannot reach this machine's own portal
        )

    def __enter__(self) -> "BitrixClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def host(self) -> str:
        """Where the portal answers now; differs from the webhook's host once the portal was renamed."""
        return self._webhook.host

    def sleep(self, seconds: float) -> None:
        """Wait by this client's clock."""
        self._sleep(seconds)

    def wait_s(self, method: str) -> float:
        """Seconds for which a method should be left alone because of its operating time; 0 if it is free."""
        return self._operating.wait_s(method)

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> Envelope:
        """Call one method.

        Returns:
            the answer; `result` may be a list, an object or a scalar.
        Raises:
            AccessError: the webhook or the method is refused.
            PortalUnavailable: no answer, or limits, after the last retry.
            PortalError: refused for another reason.
        Source: Bitrix24 REST docs, general-principles.md.
        """
        while True:
            if (wait := self.wait_s(method)) > 0:
                self._sleep(wait)
            answer = self._exchange(method, dict(params or {}))
            self.usage.commands += 1
            if isinstance(answer, Failure):  # out of operating time: the only failure that is handed back
                self._operating.refused(method)
                continue
            envelope = _envelope(answer, answer.get("time"))
            self.usage.operating_s[method] += self._operating.passed(method, envelope.time)
            return envelope

    def batch(self, commands: Mapping[str, Command]) -> "BatchAnswer":
        """Run 1 to 50 commands in one request, in order; one that fails does not stop the others.

        Commands are not repeated here, because a chain of them must be built anew from its last good page.

        Args:
            commands: by key; keys start with a letter (numeric keys change the answer's shape).
        Returns:
            for each key an `Envelope` or a `CommandError`, and the `time` of the batch.
        Raises:
            AccessError, PortalUnavailable, PortalError: as `call`.
            BatchTimeoutError: several commands took longer than one request may.
        Source: Bitrix24 REST docs, batch.md.
        """
        if not 1 <= len(commands) <= BATCH_SIZE:
            raise ValueError(f"a batch holds 1 to {BATCH_SIZE} commands, not {len(commands)}")
        lines = {key: f"{command.method}?{to_query(command.params)}" for key, command in commands.items()}
        while True:
            body = self._exchange("batch", {"halt": 0, "cmd": lines}, size=len(commands))
            if not isinstance(body, Failure):
                break
            self._operating.refused("batch")
            self._sleep(self.wait_s("batch"))
        self.usage.commands += len(commands)
        answer = body.get("result")
        parts = {
            part: _by_key(_by_key(answer).get(part))
            for part in ("result", "result_error", "result_total", "result_next", "result_time")
        }
        outcomes: dict[str, Envelope | CommandError] = {}
        for key, command in commands.items():
            if key in parts["result_error"]:
                outcomes[key] = self._failed(command, parts["result_error"][key])
            elif key in parts["result"]:
                own = {"result": parts["result"][key], "total": parts["result_total"].get(key)}
                own["next"] = parts["result_next"].get(key)
                envelope = _envelope(own, parts["result_time"].get(key))
                used = self._operating.passed(command.method, envelope.time)
                self.usage.operating_s[command.method] += used
                outcomes[key] = Envelope(envelope.result, envelope.total, envelope.next, envelope.time, used)
            else:
                missing = Failure(Kind.TRANSIENT, "no answer to the command", retries=TRANSIENT_RETRIES)
                outcomes[key] = CommandError(command.method, missing)
        for method in {o.method for o in outcomes.values() if isinstance(o, CommandError) and _is_operating(o)}:
            self._operating.refused(method)
        return BatchAnswer(outcomes, PortalTime.parse(body.get("time")))

    def describe(self, method: str, failure: Failure) -> str:
        """One line on a failure for messages, without the secret."""
        return redact(f"{method}: {failure}", self._webhook)

    def _failed(self, command: Command, entry: Any) -> CommandError:
        failure = classify(entry if isinstance(entry, Mapping) else {"error": entry})
        if failure.kind in (Kind.OPERATING, Kind.THROTTLED):
            self.usage.refusals += 1
        if failure.kind is Kind.THROTTLED:
            self._bucket.halve()
        if failure.kind is Kind.ACCESS and failure.code.lower() in OF_ONE_METHOD:
            # the batch itself has passed, so the webhook is good: this method alone is closed to it
            failure = replace(failure, kind=Kind.DENIED)
        if failure.kind in (Kind.ACCESS, Kind.OVERLOAD):
            raise self._final(command.method, failure)
        return CommandError(command.method, failure)

    def _exchange(self, method: str, payload: Mapping[str, Any], size: int = 1) -> Mapping[str, Any] | Failure:
        """POST until there is an answer; returns its JSON object, or the failure that the method has no time left."""

        failed: Counter[Kind] = Counter()

        def is_exhausted(state: tenacity.RetryCallState) -> bool:
            last = state.outcome.exception() if state.outcome else None
            if not isinstance(last, _Retryable):
                return True
            # counted apart, so that a fault after many a "too fast" still gets its own retries
            failed[last.failure.kind] += 1
            times = failed[last.failure.kind]
            if last.is_timeout and size > 1:
                return times >= BATCH_TIMEOUT_ATTEMPTS
            return times >= (THROTTLED_ATTEMPTS if last.failure.kind is Kind.THROTTLED else last.failure.retries + 1)

        def note(_: tenacity.RetryCallState) -> None:
            self.usage.retries += 1

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Retryable),
            stop=is_exhausted,
            wait=lambda state: backoff_s(state.attempt_number),
            sleep=self._sleep,
            before_sleep=note,
            reraise=True,
        )
        try:
            return retrying(self._once, method, payload)
        except _Retryable as last:
            reason, is_timeout = self.describe(method, last.failure), last.is_timeout
        # raised outside of the except blocks, so that no exception that knows the URL hangs on to it
        if is_timeout and size > 1:
            raise BatchTimeoutError(f"A batch of {size} commands takes longer than the portal allows.")
        raise PortalUnavailable(
            f"The portal does not answer ({reason}). Check the network and the portal, then run again: "
            "what was loaded stays, and the run goes on from there."
        )

    def _once(self, method: str, payload: Mapping[str, Any]) -> Mapping[str, Any] | Failure:
        reason, is_timeout = "", False
        response: httpx.Response | None = None
        try:
            response = self._post(method, payload)
        except httpx.TimeoutException as error:
            reason, is_timeout = f"timeout, {type(error).__name__}", not isinstance(error, httpx.ConnectTimeout)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            reason = f"connection failed, {type(error).__name__}"
        if response is None:
            raise _Retryable(Failure(Kind.TRANSIENT, reason, retries=TRANSIENT_RETRIES), is_timeout=is_timeout)

        failure, body = _read(response)
        if failure is None:
            timing = PortalTime.parse(body.get("time"))
            self.started_at = self.started_at or timing.date_start
            return body
        if failure.kind is Kind.OPERATING:
            self.usage.refusals += 1
            return failure
        if failure.kind is Kind.THROTTLED:
            self.usage.refusals += 1
            self._bucket.halve()
        if failure.kind in (Kind.THROTTLED, Kind.TRANSIENT):
            raise _Retryable(failure, is_timeout=response.status_code == 504)
        raise self._final(method, failure)

    def _post(self, method: str, payload: Mapping[str, Any]) -> httpx.Response:
        """POST, following a renamed portal by hand: clients turn a redirected POST into a GET without a body."""
        for _ in range(REDIRECTS_MAX):
            self._bucket.acquire()
            self.usage.requests += 1
            response = self._http.post(self._webhook.endpoint(method), content=orjson.dumps(payload))
            if response.status_code not in (301, 302, 307, 308):
                return response
            self._webhook = self._webhook.moved_to(response.headers.get("location", ""))
            protect_logs(self._webhook)
        raise PortalUnavailable(
            "The portal redirects in a circle. Open it in a browser and copy its webhook URL again."
        )

    def _final(self, method: str, failure: Failure) -> BitrixError:
        reason = self.describe(method, failure)
        if failure.kind is Kind.DENIED:
            return AccessError(
                f"The portal refuses a method to this webhook ({reason}). Give the webhook the scope it lacks, or ask "
                "the portal's administrator for the right, then run again.",
                failure.code,
            )
        if failure.kind is Kind.ACCESS:
            return AccessError(
                f"The portal refuses the webhook ({reason}). Check in the portal that the webhook still exists, that "
                "its owner is active and that the plan includes REST, then copy its URL again.",
                failure.code,
            )
        if failure.kind is Kind.OVERLOAD:
            return PortalUnavailable(f"Bitrix24 has blocked the portal for overload ({reason}). Ask its support.")
        return PortalError(f"The portal refused a request ({reason}). Run `b24 check` to see what it allows.")


class BatchAnswer(Mapping[str, "Envelope | CommandError"]):
    """Outcomes of a batch by key, in the order of the commands, and the `time` of the whole."""

    def __init__(self, outcomes: Mapping[str, Envelope | CommandError], time: PortalTime) -> None:
        self._outcomes, self.time = outcomes, time

    def __getitem__(self, key: str) -> Envelope | CommandError:
        return self._outcomes[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)


def backoff_s(attempt: int) -> float:
    """Seconds before the next attempt: doubling from half a second, with jitter, 1 to 60."""
    jitter = random.uniform(0, 0.5)  # noqa: S311  spreads clients, hides nothing
    return float(min(max(1.0, 0.5 * 2**attempt + jitter), BACKOFF_MAX_S))


def to_query(params: Mapping[str, Any]) -> str:
    """Encode nested parameters PHP's way, each key and value once: `filter[>ID]=5` as `filter%5B%3EID%5D=5`."""
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in _flat(params))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}[{key}]" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{index}]")
    elif isinstance(value, bool):
        yield path, "1" if value else "0"
    else:
        yield path, "" if value is None else str(value)


def _read(response: httpx.Response) -> tuple[Failure | None, Mapping[str, Any]]:
    status = response.status_code
    body: Any = None
    if "json" in response.headers.get("content-type", "").lower():
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            return Failure(Kind.TRANSIENT, f"HTTP {status} with a broken body", retries=TRANSIENT_RETRIES), {}
    if isinstance(body, Mapping):
        return (classify(body, status), body) if "error" in body or status >= 400 else (None, body)
    if status < 400 or status >= 500 or status == 429:
        # a gateway or maintenance page, whatever its status says
        return Failure(Kind.TRANSIENT, f"HTTP {status} without JSON", retries=TRANSIENT_RETRIES), {}
    return classify({}, status), {}


def _envelope(body: Mapping[str, Any], timing: Any) -> Envelope:
    total, following = _number(body.get("total")), _number(body.get("next"))
    return Envelope(
        result=body.get("result"),
        total=None if total is None else int(total),
        next=None if following is None else int(following),
        time=PortalTime.parse(timing),
    )


def _by_key(part: Any) -> Mapping[str, Any]:
    """Normalise a part of a batch answer: PHP writes an empty map as `[]`."""
    return part if isinstance(part, Mapping) else {}


def _is_operating(error: CommandError) -> bool:
    return error.failure.kind is Kind.OPERATING


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    instant = _instant(value)
    return instant.timestamp() if instant else None


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else None
