"""HTTP to one portal: calls and batches, within its limits, with retries; knows no table."""

import logging
import random
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import msgspec
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
BURST_SHARE = 0.5  # of the bucket, at the default share of the rate: other applications live on the portal too
BURST_MARGIN = 0.5  # requests may reach the portal closer together than they left us
OPERATING_BUDGET_S = 480.0
OPERATING_MARGIN = 0.015  # share of a method's budget left unused, for commands that take longer than those before
COMMAND_GUESS_S = 0.15  # work of a command whose method has not answered yet
COST_ANSWERS = 2_000  # so many of the latest answers tell what a command costs: forty batches
RESET_SLACK_S = 0.5  # a reset is told in whole seconds
IN_FLIGHT = 50

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
    """A successful answer: the JSON of `result`, `total` and `next` (offset of the next page) where the method pages.

    Pages stay bytes, because rows are turned into columns without a Python object for each.
    """

    json: bytes | msgspec.Raw
    total: int | None = None
    next: int | None = None
    time: PortalTime = PortalTime()
    operating_s: float = 0.0  # operating time that this command used up

    @cached_property
    def result(self) -> Any:
        """The decoded `result`."""
        return orjson.loads(bytes(self.json))


@dataclass(frozen=True)
class CommandError:
    """A batch command that failed while the batch itself passed."""

    method: str
    failure: Failure


@dataclass
class Usage:
    """What was asked of the portal: by a client so far, or by one call."""

    requests: int = 0
    commands: int = 0
    refusals: int = 0  # limits hit: 503 for a request, 429 for a command
    retries: int = 0
    operating_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # by method
    places: int = 0  # in the request bucket, taken beforehand
    asked: Counter[str] = field(default_factory=Counter)  # commands by method, noted beforehand; see `expect`

    def add(self, other: "Usage") -> None:
        """Add what another one counted."""
        self.requests += other.requests
        self.commands += other.commands
        self.refusals += other.refusals
        self.retries += other.retries
        for method, seconds in other.operating_s.items():
            self.operating_s[method] += seconds


class TokenBucket:
    """Lets `capacity` requests pass at once and `rate_per_s` after that; the clock and the sleep are given."""

    def __init__(
        self, rate_per_s: float, capacity: float, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rate_per_s, self._capacity, self._clock, self._sleep = rate_per_s, capacity, clock, sleep
        self._lock = threading.Lock()
        self._tokens = capacity
        self._filled_at = clock()
        self._halved_until = float("-inf")

    def acquire(self) -> None:
        """Wait for a place and take it."""
        while not self.try_acquire():
            # a clock that ticks coarsely may wake a moment early, hence the loop and the floor
            self._sleep(max(self.wait_s(), 0.001))

    def try_acquire(self) -> bool:
        """Take a place if there is one."""
        with self._lock:
            is_free = self._missing_s() <= 0
            self._tokens -= is_free
            return is_free

    def give_back(self) -> None:
        """Return a place that was not used."""
        with self._lock:
            self._tokens += 1

    def wait_s(self) -> float:
        """Seconds until a request may pass."""
        with self._lock:
            return self._missing_s()

    def halve(self) -> None:
        """Empty the bucket and halve the rate for a minute: the portal is fuller than we think."""
        with self._lock:
            self._refill()
            self._tokens = 0.0
            self._halved_until = self._clock() + HALVED_FOR_S

    def rate_per_s(self) -> float:
        """Requests per second that pass in the long run."""
        return self._rate_per_s / 2 if self._clock() < self._halved_until else self._rate_per_s

    def _missing_s(self) -> float:
        self._refill()
        return max(0.0, (1 - self._tokens) / self.rate_per_s())

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self.rate_per_s())
        self._filled_at = now


@dataclass
class _Meter:
    """One method's operating time, in seconds; instants by the local clock."""

    used: float | None = None  # as the portal told last
    told_at: float = 0.0  # by the portal's clock
    asked: int = 0  # commands that are not answered yet
    told: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=COST_ANSWERS))  # when, and the sum
    longest: float = 0.0  # duration
    known_cost: float | None = None  # until the next answer
    reset: float | None = None  # when the portal next takes time off
    parked: float = float("-inf")
    waited: float = 0.0  # parked since the last success
    refused: int = 0

    @property
    def cost(self) -> float:
        """Expected of one command: by how much the sum grew from one answer to the next, in the portal's order.

        Answers come in another order, so a sum that is told late must not seem to have grown by nothing. The first few
        may be cheaper than those to come, so of them the dearest counts.
        """
        if self.known_cost is None:
            steps = [later - earlier for (_, earlier), (_, later) in pairwise(sorted(self.told)) if later >= earlier]
            if not any(steps):
                self.known_cost = max(COMMAND_GUESS_S, self.longest)
            else:
                self.known_cost = max(steps) if len(steps) < BATCH_SIZE else sum(steps) / len(steps)
        return self.known_cost


class OperatingTime:
    """Operating time per method of one webhook: how many commands the budget lets pass, and when it is to rest.

    The portal refuses a method whose sum over the last ten minutes is above its budget. It tells the sum with each
    answer and when the oldest minute leaves it, not how much leaves then: one command after that instant tells.
    """

    def __init__(self, budget_s: float, clock: Callable[[], float]) -> None:
        self._budget_s, self._clock = budget_s * (1 - OPERATING_MARGIN), clock
        self._lock = threading.Lock()
        self._meters: defaultdict[str, _Meter] = defaultdict(_Meter)

    def allowance(self, method: str) -> int:
        """How many commands of the method may be asked now, besides those under way."""
        with self._lock:
            meter, now = self._meters[method], self._clock()
            if meter.parked > now:
                return 0
            cost = meter.cost
            free = self._budget_s - (meter.used or 0.0) - meter.asked * cost
            if (count := int(free / cost)) > 0:
                return count
            is_due = meter.reset is None or meter.reset + RESET_SLACK_S <= now
            return 1 if is_due and not meter.asked else 0

    def wait_s(self, method: str) -> float:
        """Seconds for which the method should still be left alone, answers under way not counted."""
        if self.allowance(method):
            return 0.0
        with self._lock:
            meter, now = self._meters[method], self._clock()
            if meter.parked > now:
                return meter.parked - now
            if meter.asked:
                return float("inf")  # its answers tell
            return max(0.0, (meter.reset or now) + RESET_SLACK_S - now)

    def cost_s(self, method: str) -> float:
        """Expected work of one command."""
        return self._meters[method].cost

    def reserve(self, methods: Sequence[str]) -> Counter[str]:
        """Note that commands of these methods are asked now; returns what to give back to `settle`."""
        with self._lock:
            asked = Counter(methods)
            for method, count in asked.items():
                self._meters[method].asked += count
            return asked

    def settle(self, asked: Mapping[str, int]) -> None:
        """Give back what `reserve` returned, after the answer."""
        with self._lock:
            for method, count in asked.items():
                self._meters[method].asked -= count

    def passed(self, method: str, answer: PortalTime) -> float:
        """Note a success; returns the operating seconds it used."""
        with self._lock:
            meter = self._meters[method]
            meter.waited, meter.refused = 0.0, 0
            duration = answer.duration or 0.0
            meter.longest, meter.known_cost = max(meter.longest, duration), None
            if answer.operating is None:
                return duration
            meter.told.append((answer.finish or meter.told_at, answer.operating))
            # answers of requests that ran side by side come in any order; a later one holds the work of the earlier
            if answer.finish is not None and answer.finish < meter.told_at:
                used = 0.0
            else:
                meter.told_at = answer.finish or meter.told_at
                before, meter.used = meter.used, answer.operating
                used = duration if before is None or answer.operating < before else answer.operating - before
                if answer.reset_at is not None and answer.finish is not None:
                    # both by the portal's clock, so that its offset from ours does not matter
                    meter.reset = self._clock() + max(0.0, answer.reset_at - answer.finish)
            return used

    def refused(self, method: str) -> None:
        """Note a 429: leave the method alone until its reset, or, where that is unknown or past, for growing steps.

        Raises:
            PortalUnavailable: refused for an hour in a row.
        """
        with self._lock:
            meter, now = self._meters[method], self._clock()
            if meter.parked > now:
                return  # another request under way was refused with it
            meter.refused += 1
            until_reset = meter.reset - now if meter.reset is not None else 0.0
            if until_reset > 0:
                wait = until_reset + 1
            elif meter.reset is not None:
                # time leaves in one-minute portions, so the first reset may free too little
                wait = min(PARK_AGAIN_S * 2 ** (meter.refused - 1), PARK_UNKNOWN_S)
            else:
                wait = min(PARK_UNKNOWN_S * meter.refused, PARK_MAX_S)
            if meter.waited > PARK_TOTAL_S:
                raise PortalUnavailable(
                    f"The portal has refused {method} for {meter.waited / 60:.0f} minutes: its operating time is used "
                    "up. Something else may be reading through the same webhook; run again later, nothing loaded is "
                    "lost."
                )
            meter.waited += wait
            meter.parked = now + wait
        log.info("%s is out of operating time; it rests for %.0f s", method, wait)


class _Retryable(Exception):  # noqa: N818  never leaves this module
    """A request that may pass when repeated."""

    def __init__(self, failure: Failure, *, is_timeout: bool = False) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.is_timeout = is_timeout


class BitrixClient:
    """Calls the REST methods of one portal, within our share of its limits, from several threads if need be.

    Args:
        webhook: where to and as whom; several of one portal share its request bucket, while each has its own
            operating time. Their codes are kept out of every log record from here on.
        share: our share of the portal's request rate, 0 to 1; 0.9 also leaves half of the burst to others.
        operating_budget_s: operating seconds per method in ten minutes before the portal refuses it.
        in_flight: how many requests a `Reader` may have under way at once.
        transport, clock, sleep: replaced in tests; clock and sleep in seconds.
    """

    def __init__(
        self,
        webhook: Webhook | Sequence[Webhook],
        *,
        share: float = 0.9,
        operating_budget_s: float = OPERATING_BUDGET_S,
        in_flight: int = IN_FLIGHT,
        timeout_s: float = REQUEST_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 < share <= 1:
            raise ConfigurationError("The share of the portal's limits must be more than 0 and at most 1.")
        self._webhooks = [webhook] if isinstance(webhook, Webhook) else list(webhook)
        if len({one.host for one in self._webhooks}) != 1:
            raise ConfigurationError("Several webhooks can be used only together with others of the same portal.")
        for one in self._webhooks:
            protect_logs(one)
        self.usage = Usage()
        self.started_at: datetime | None = None  # the portal's clock when it began its first answer
        self.asked_host = self._webhooks[0].host  # differs from `host` once the portal was renamed
        self.in_flight = in_flight
        self._lock = threading.Lock()
        self._clock, self._sleep = clock, sleep
        burst = PORTAL_BURST - BURST_MARGIN if share == 1 else max(1.0, PORTAL_BURST * share * BURST_SHARE / 0.9)
        self._bucket = TokenBucket(PORTAL_RATE_PER_S * share, burst, clock=clock, sleep=sleep)
        self._operating = [OperatingTime(operating_budget_s, clock) for _ in self._webhooks]
        self._http = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            limits=httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Content-Type": "application/json"},
            trust_env=not self._webhooks[0].is_loopback,  # a proxy cannot reach this machine's own portal
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
        return self._webhooks[0].host

    @property
    def lanes(self) -> range:
        """Numbers of the webhooks, each with its own operating time."""
        return range(len(self._webhooks))

    @property
    def rate_per_s(self) -> float:
        """Requests per second that we may make in the long run."""
        return self._bucket.rate_per_s()

    def sleep(self, seconds: float) -> None:
        """Wait by this client's clock."""
        self._sleep(seconds)

    def now(self) -> float:
        """This client's clock, in seconds."""
        return self._clock()

    def take_place(self) -> bool:
        """Take a place in our share of the portal's request bucket, if there is one; see `Usage.places`."""
        return self._bucket.try_acquire()

    def give_place_back(self) -> None:
        """Return a place that `take_place` gave."""
        self._bucket.give_back()

    def expect(self, commands: Mapping[str, Command], lane: int, usage: Usage) -> None:
        """Count the commands of a batch that is about to be asked, before its thread gets to it."""
        usage.asked = self._operating[lane].reserve([command.method for command in commands.values()])

    def forget(self, lane: int, usage: Usage) -> None:
        """Give back what was taken for a batch that will not be asked."""
        self._operating[lane].settle(usage.asked)
        for _ in range(usage.places):
            self._bucket.give_back()

    def request_wait_s(self) -> float:
        """Seconds until our share of the portal's request bucket has a place."""
        return self._bucket.wait_s()

    def wait_s(self, method: str, lane: int = 0) -> float:
        """Seconds for which a method should be left alone because of its operating time; 0 if it is free."""
        return self._operating[lane].wait_s(method)

    def allowance(self, method: str, lane: int = 0) -> int:
        """How many commands of a method its operating time lets pass now."""
        return self._operating[lane].allowance(method)

    def cost_s(self, method: str, lane: int = 0) -> float:
        """Expected operating seconds of one command."""
        return self._operating[lane].cost_s(method)

    def call(self, method: str, params: Mapping[str, Any] | None = None, lane: int = 0) -> Envelope:
        """Call one method.

        Returns:
            the answer; `result` may be a list, an object or a scalar.
        Raises:
            AccessError: the webhook or the method is refused.
            PortalUnavailable: no answer, or limits, after the last retry.
            PortalError: refused for another reason.
        Source: Bitrix24 REST docs, general-principles.md.
        """
        operating, usage = self._operating[lane], Usage()
        try:
            while True:
                if (wait := operating.wait_s(method)) > 0:
                    self._sleep(wait)
                body = self._exchange(method, dict(params or {}), lane, usage)
                usage.commands += 1
                if isinstance(body, Failure):  # out of operating time: the only failure that is handed back
                    operating.refused(method)
                    continue
                envelope = _envelope(body.result, body.total, body.next, body.time)
                usage.operating_s[method] += operating.passed(method, envelope.time)
                return envelope
        finally:
            self._count(usage)

    def call_v3(
        self, method: str, params: Mapping[str, Any], lane: int = 0, usage: Usage | None = None
    ) -> "Envelope | CommandError":
        """Call one method of REST 3.0, which has no batch.

        Args:
            usage: takes what this call costs, also when it fails; the client's own sum has it as well.
        Returns:
            the answer, or, as a batch would, the refusal of this method or of what it was asked for.
        Raises:
            AccessError, PortalUnavailable, PortalError: as `call`, where more than this call is refused.
        Source: Bitrix24 REST docs, rest-v3.md.
        """
        operating, usage = self._operating[lane], Usage() if usage is None else usage
        try:
            while True:
                if (wait := operating.wait_s(method)) > 0:
                    self._sleep(wait)
                body = self._exchange(method, dict(params), lane, usage, is_v3=True)
                usage.commands += 1
                if not isinstance(body, Failure):
                    envelope = _envelope(body.result, None, None, body.time)
                    usage.operating_s[method] += operating.passed(method, envelope.time)
                    return envelope
                if body.kind is not Kind.OPERATING:
                    return CommandError(method, body)
                operating.refused(method)
        finally:
            self._count(usage)

    def batch(self, commands: Mapping[str, Command], lane: int = 0, usage: Usage | None = None) -> "BatchAnswer":
        """Run 1 to 50 commands in one request, in order; one that fails does not stop the others.

        Commands are not repeated here, because a chain of them must be built anew from its last good page.

        Args:
            commands: by key; keys start with a letter (numeric keys change the answer's shape).
            lane: number of the webhook.
            usage: takes what this call costs, also when it fails; the client's own sum has it as well.
        Returns:
            for each key an `Envelope` or a `CommandError`, and the `time` of the batch.
        Raises:
            AccessError, PortalUnavailable, PortalError: as `call`.
            BatchTimeoutError: several commands took longer than one request may.
        Source: Bitrix24 REST docs, batch.md.
        """
        if not 1 <= len(commands) <= BATCH_SIZE:
            raise ValueError(f"a batch holds 1 to {BATCH_SIZE} commands, not {len(commands)}")
        usage = Usage() if usage is None else usage
        operating = self._operating[lane]
        asked = usage.asked or operating.reserve([command.method for command in commands.values()])
        try:
            return self._batch(commands, lane, usage)
        finally:
            operating.settle(asked)
            self._count(usage)

    def _batch(self, commands: Mapping[str, Command], lane: int, usage: Usage) -> "BatchAnswer":
        operating = self._operating[lane]
        lines = {key: f"{command.method}?{to_query(command.params)}" for key, command in commands.items()}
        while True:
            body = self._exchange("batch", {"halt": 0, "cmd": lines}, lane, usage, size=len(commands))
            if not isinstance(body, Failure):
                break
            operating.refused("batch")
            self._sleep(operating.wait_s("batch"))
        usage.commands += len(commands)
        parts = _parts_of(body)
        results, errors = _by_key(parts.result), _by_key(parts.result_error)
        totals, nexts, times = (_by_key(part) for part in (parts.result_total, parts.result_next, parts.result_time))
        outcomes: dict[str, Envelope | CommandError] = {}
        for key, command in commands.items():
            if key in errors:
                outcomes[key] = self._failed(command, orjson.loads(bytes(errors[key])), lane, usage)
            elif key in results:
                total, following, timing = (_decoded(part.get(key)) for part in (totals, nexts, times))
                envelope = _envelope(results[key], total, following, timing)
                used = operating.passed(command.method, envelope.time)
                usage.operating_s[command.method] += used
                outcomes[key] = replace(envelope, operating_s=used)
            else:
                missing = Failure(Kind.TRANSIENT, "no answer to the command", retries=TRANSIENT_RETRIES)
                outcomes[key] = CommandError(command.method, missing)
        for method in {o.method for o in outcomes.values() if isinstance(o, CommandError) and _is_operating(o)}:
            operating.refused(method)
        return BatchAnswer(outcomes, PortalTime.parse(body.time))

    def _count(self, usage: Usage) -> None:
        with self._lock:
            self.usage.add(usage)

    def describe(self, method: str, failure: Failure) -> str:
        """One line on a failure for messages, without the secret."""
        text = f"{method}: {failure}"
        for webhook in self._webhooks:
            text = redact(text, webhook)
        return text

    def _failed(self, command: Command, entry: Any, lane: int, usage: Usage) -> CommandError:
        failure = classify(entry if isinstance(entry, Mapping) else {"error": entry})
        if failure.kind in (Kind.OPERATING, Kind.THROTTLED):
            usage.refusals += 1
        if failure.kind is Kind.THROTTLED:
            self._bucket.halve()
        if failure.kind is Kind.ACCESS and failure.code.lower() in OF_ONE_METHOD:
            # the batch itself has passed, so the webhook is good: this method alone is closed to it
            failure = replace(failure, kind=Kind.DENIED)
        if failure.kind in (Kind.ACCESS, Kind.OVERLOAD):
            raise self._final(command.method, failure)
        return CommandError(command.method, failure)

    def _exchange(
        self, method: str, payload: Mapping[str, Any], lane: int, usage: Usage, *, size: int = 1, is_v3: bool = False
    ) -> "_Body | Failure":
        """POST until there is an answer; returns its JSON object, or the failure that the method has no time left.

        In REST 3.0 a refusal of the method, or of what it was asked for, is returned as well.
        """

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
            usage.retries += 1

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Retryable),
            stop=is_exhausted,
            wait=lambda state: backoff_s(state.attempt_number),
            sleep=self._sleep,
            before_sleep=note,
            reraise=True,
        )
        try:
            return retrying(self._once, method, payload, lane, usage, is_v3)
        except _Retryable as last:
            reason, is_timeout = self.describe(method, last.failure), last.is_timeout
        # raised outside of the except blocks, so that no exception that knows the URL hangs on to it
        if is_timeout and size > 1:
            raise BatchTimeoutError(f"A batch of {size} commands takes longer than the portal allows.")
        raise PortalUnavailable(
            f"The portal does not answer ({reason}). Check the network and the portal, then run again: "
            "what was loaded stays, and the run goes on from there."
        )

    def _once(self, method: str, payload: Mapping[str, Any], lane: int, usage: Usage, is_v3: bool) -> "_Body | Failure":
        reason, is_timeout = "", False
        response: httpx.Response | None = None
        try:
            response = self._post(method, payload, lane, usage, is_v3)
        except httpx.TimeoutException as error:
            reason, is_timeout = f"timeout, {type(error).__name__}", not isinstance(error, httpx.ConnectTimeout)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            reason = f"connection failed, {type(error).__name__}"
        if response is None:
            raise _Retryable(Failure(Kind.TRANSIENT, reason, retries=TRANSIENT_RETRIES), is_timeout=is_timeout)

        answer = _read(response, method)
        if isinstance(answer, _Body):
            self.started_at = self.started_at or PortalTime.parse(answer.time).date_start
            return answer
        failure = answer
        if failure.kind is Kind.OPERATING:
            usage.refusals += 1
            return failure
        if failure.kind is Kind.THROTTLED:
            usage.refusals += 1
            self._bucket.halve()
        if failure.kind in (Kind.THROTTLED, Kind.TRANSIENT):
            raise _Retryable(failure, is_timeout=response.status_code == 504)
        if is_v3 and failure.kind in (Kind.DENIED, Kind.REFUSED):
            return failure
        raise self._final(method, failure)

    def _post(self, method: str, payload: Mapping[str, Any], lane: int, usage: Usage, is_v3: bool) -> httpx.Response:
        """POST, following a renamed portal by hand: clients turn a redirected POST into a GET without a body."""
        content = orjson.dumps(payload)
        for _ in range(REDIRECTS_MAX):
            if usage.places:
                usage.places -= 1
            else:
                self._bucket.acquire()
            usage.requests += 1
            asked = self._webhooks[lane]
            url = asked.endpoint_v3(method) if is_v3 else asked.endpoint(method)
            response = self._http.post(url, content=content)
            if response.status_code not in (301, 302, 307, 308):
                return response
            with self._lock:
                if self._webhooks[lane] == asked:  # no other thread has followed it meanwhile
                    self._webhooks = [one.moved_to(response.headers.get("location", "")) for one in self._webhooks]
                    for webhook in self._webhooks:
                        protect_logs(webhook)
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


class _Body(msgspec.Struct):
    """An answer's JSON object, its `result` left as bytes; `error` is absent from a success."""

    result: Any = None
    error: Any = msgspec.UNSET
    error_description: Any = None
    total: Any = None
    next: Any = None
    time: Any = None


# PHP writes an empty map as `[]`
_ByKey = dict[str, msgspec.Raw] | list[msgspec.Raw] | None


class _BatchParts(msgspec.Struct):
    """The parts of a batch's result, each a map by command."""

    result: _ByKey = None
    result_error: _ByKey = None
    result_total: _ByKey = None
    result_next: _ByKey = None
    result_time: _ByKey = None


class _CallBody(_Body):
    result: msgspec.Raw = msgspec.Raw(b"null")


class _BatchBody(_Body):
    result: _BatchParts | list[msgspec.Raw] | None = None


_decode_call = msgspec.json.Decoder(_CallBody).decode
_decode_batch = msgspec.json.Decoder(_BatchBody).decode


def _read(response: httpx.Response, method: str) -> "_Body | Failure":
    status = response.status_code
    is_json = "json" in response.headers.get("content-type", "").lower()
    if is_json and response.content.lstrip()[:1] == b"{":
        try:
            body = (_decode_batch if method == "batch" else _decode_call)(response.content)
        except msgspec.DecodeError:
            return Failure(Kind.TRANSIENT, f"HTTP {status} with a broken body", retries=TRANSIENT_RETRIES)
        if body.error is msgspec.UNSET and status < 400:
            return body
        known = {"error_description": body.error_description}
        return classify(known if body.error is msgspec.UNSET else {**known, "error": body.error}, status)
    if status < 400 or status >= 500 or status == 429:
        # a gateway or maintenance page, whatever its status says
        shown = "a broken body" if is_json else "no JSON"
        return Failure(Kind.TRANSIENT, f"HTTP {status} with {shown}", retries=TRANSIENT_RETRIES)
    return classify({}, status)


def _envelope(result: bytes | msgspec.Raw, total: Any, following: Any, timing: Any) -> Envelope:
    total, following = _number(total), _number(following)
    return Envelope(
        result,
        total=None if total is None else int(total),
        next=None if following is None else int(following),
        time=PortalTime.parse(timing),
    )


def _parts_of(body: _Body) -> _BatchParts:
    return body.result if isinstance(body.result, _BatchParts) else _BatchParts()


def _by_key(part: _ByKey) -> Mapping[str, msgspec.Raw]:
    return part if isinstance(part, dict) else {}


def _decoded(part: msgspec.Raw | None) -> Any:
    return None if part is None else orjson.loads(bytes(part))


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
