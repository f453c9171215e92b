"""Walks through a portal's lists, and the reader that runs many of them at once."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from math import ceil, sqrt
from typing import Any, Protocol

import msgspec

from dlt_sources.bitrix24.client import (
    BATCH_SIZE,
    PAGE_SIZE,
    BatchAnswer,
    BitrixClient,
    Command,
    CommandError,
    Envelope,
    Usage,
    backoff_s,
)
from dlt_sources.bitrix24.entities import Entity
from dlt_sources.bitrix24.errors import (
    TRANSIENT_RETRIES,
    AccessError,
    BatchTimeoutError,
    Failure,
    Kind,
    PortalError,
    PortalUnavailable,
)
from dlt_sources.bitrix24.records import to_camel

Row = msgspec.Raw  # one JSON object, as the portal sent it
Segment = tuple[int, int | None]  # ids above the first, up to the second; None: without end

NOTHING: frozenset[Kind] = frozenset()
# the portal has many words for "not for you", so whatever stays refused counts; an outage is none of these
ANY_REFUSAL = frozenset({Kind.DENIED, Kind.REFUSED, Kind.TRANSIENT})
PROBES = 6  # places at which a long table is tried first, to learn how dense its ids are
CHAIN_GROWTH = 4  # a quiet list is one page, a busy one is soon read in whole batches
PROBE_PAGES = 10  # a table with fewer pages of ids per place is tried at fewer

log = logging.getLogger(__name__)


@dataclass
class WalkUsage:
    """What one walk cost. A request is charged to the walk with the most commands in it, so that sums are exact."""

    requests: int = 0
    commands: int = 0
    pages: int = 0
    operating_s: float = 0.0
    refusals: int = 0
    retries: int = 0


class Lease(Protocol):
    """Commands of one walk on their way to the portal."""

    commands: dict[str, Command]

    def take(self, outcomes: Mapping[str, Envelope | CommandError]) -> list[Row]:
        """Take the answers, give back to the walk what stays unread, and return the rows that are new."""


class Walk(Protocol):
    """A list that is being read: lends out commands and takes their answers, several leases at a time."""

    method: str
    methods: tuple[str, ...]  # by which it can be read, its own first
    tolerates: frozenset[Kind]  # failures that end the walk with a note instead of the run
    note: str
    failure: Failure | None  # behind the note
    usage: WalkUsage

    @property
    def done(self) -> bool:
        """Whether everything is read, or given up with a note."""

    @property
    def wish(self) -> int:
        """About how many commands it could use now; 0 while all its work is under way."""

    def lease(self, count: int, prefix: str, method: str) -> Lease:
        """Lend up to `count` commands of a method, at least one, under keys that begin with `prefix`."""


@dataclass
class _Chain:
    """Pages of one segment, each referring to the last id of the page before."""

    segment: Segment
    entity: Entity
    keys: list[str] = field(default_factory=list)
    is_read: bool = False  # to the end of the segment


class KeysetWalk:
    """All rows of some segments of ids: each row once, whatever is inserted or deleted meanwhile.

    A segment is read from its lower end in pages that are chained in a batch by reference to the last id of the page
    before. When a page is short its reference does not resolve, and the portal answers the next command from the
    start of the table: so pages are taken in order, and everything behind the first short page is thrown away.

    A long segment with a known end is cut, so that many requests can read it at once. How many pages a piece has is
    learned from the answers: first a few places of the table are tried with one page each.

    Source: Bitrix24 REST docs, huge-data.md and batch.md.

    Args:
        entity: what to read.
        after: read ids above this one.
        left: segments that are still to be read, ascending; instead of `after`.
        where: extra filter, e.g. {">=DATE_MODIFY": "2026-01-31T00:00:00+00:00"}.
        since: the instant of that filter; rows before it show that the portal ignores it.
        max_id: the highest id when the run began, if known.
        tolerates: failures that end the walk with a note; those of the entity if not given.
    """

    def __init__(
        self,
        entity: Entity,
        *,
        after: int = 0,
        left: Sequence[Segment] | None = None,
        where: Mapping[str, Any] | None = None,
        since: datetime | None = None,
        max_id: int | None = None,
        tolerates: frozenset[Kind] | None = None,
    ) -> None:
        self.entity, self.method = entity, entity.method
        # a twin spells its cursor in another way, and a filter is written for one of them
        self._variants = {entity.method: entity}
        if entity.twin and not where:
            self._variants[entity.twin.method] = entity.twin
        self.methods = tuple(self._variants)
        self.tolerates = _tolerated(entity) if tolerates is None else tolerates
        self.note = ""
        self.failure: Failure | None = None
        self.warning = ""
        self.highest = after  # id that was taken
        self.usage = WalkUsage()
        self._where = dict(where or {})
        self._since = since
        self._free: list[Segment] = []
        self._lent: list[Segment] = []
        self._tried: set[int] = set()  # lower ends of probed pieces that have not answered yet
        self._chain = 1  # pages to ask for where there is no end; grows while all of them come full
        self._rows, self._ids = 0, 0  # rows seen, and the span of ids they were seen in
        self._end: int | None = None  # the last id of a segment without end that was read to its end
        for low, high in [(after, None)] if left is None else left:
            if high is None and max_id is not None and max_id > low and not self._where:
                self._free += [*_cut(low, max_id), (max_id, None)]
            else:
                self._free += [(low, high)] if high is None else _cut(low, high)
        self._tried = {low for low, high in self._free if high is not None} if len(self._free) > 2 else set()
        self._span = sum(high - low for low, high in self._free if high is not None)

    @property
    def done(self) -> bool:
        """Whether everything is read, or given up with a note."""
        return bool(self.note) or not (self._free or self._lent)

    @property
    def left(self) -> tuple[Segment, ...]:
        """Segments that the rows taken so far do not cover, ascending; the last one begins above the highest id."""
        ends: list[Segment] = [] if self._end is None else [(self._end, None)]
        return tuple(_merged([*self._free, *self._lent, *ends]))

    @property
    def share(self) -> float | None:
        """Share of the ids that are read, 0 to 1; None if the highest id was not known."""
        if self.done:
            return 1.0
        return 1 - sum(high - low for low, high in self.left if high is not None) / self._span if self._span else None

    @property
    def wish(self) -> int:
        """About how many commands it could use now."""
        return 0 if self.note else sum(self._pages(segment) for segment in self._free)

    def lease(self, count: int, prefix: str, method: str) -> "KeysetLease":
        """Lend commands; see `Walk`."""
        lease = KeysetLease(self)
        entity = self._variants[method]
        while self._free and count > 0:
            low, high = self._free.pop(0)
            pages = self._pages((low, high))
            if pages > count:
                pages = count
                if high is not None and low not in self._tried:
                    # as many ids as these pages should hold; round numbers end dense pages where pieces end
                    middle = low + max(PAGE_SIZE, int(count * PAGE_SIZE / self._density) // PAGE_SIZE * PAGE_SIZE)
                    if middle < high:
                        self._free.insert(0, (middle, high))
                        high = middle
            keys = [f"{prefix}p{len(lease.commands) + number}" for number in range(pages)]
            chain = _Chain((low, high), entity, keys)
            places: list[int | str] = [low, *(entity.after_reference(key) for key in chain.keys)]
            where = self._where if high is None else {**self._where, f"<={entity.filter_id}": high}
            for key, after in zip(chain.keys, places, strict=False):
                lease.commands[key] = Command(method, entity.page(after, where))
            lease.chains.append(chain)
            self._lent.append((low, high))
            count -= pages
        return lease

    @property
    def _density(self) -> float:
        """Rows per id."""
        return max(self._rows, 1) / self._ids if self._ids else 1.0

    def _pages(self, segment: Segment) -> int:
        low, high = segment
        if high is None:
            return self._chain
        if low in self._tried:
            return 1
        return max(1, ceil(min(1.0, self._density) * (high - low) / PAGE_SIZE))

    def take_chain(self, chain: _Chain, answers: Sequence[Envelope]) -> list[Row]:
        """Take the answers to the first commands of a chain, in order."""
        low, high = place, _ = chain.segment
        taken: list[Row] = []
        is_read = False
        for position, answer in enumerate(answers):
            page = read_page(answer, chain.entity)
            if _begins_anew(page, place):
                if position == 0:
                    raise PortalError(
                        f"{self.method} does not continue after id {place}: the portal ignores the id filter."
                    )
                break  # read from the start again: the page before was cut short after it was referred to
            if any(later <= earlier for earlier, later in pairwise(page.ids)):
                raise PortalError(f"{self.method} does not return rows by ascending id, so none could be trusted.")
            if high is not None and page.ids and page.ids[-1] > high:
                raise PortalError(f"{self.method} returns ids above {high}: the portal ignores the id filter.")
            self._check_filter(page)
            taken += page.rows
            self.usage.pages += 1
            place = page.ids[-1] if page.ids else place
            if _is_last(page) or place == high:
                is_read = True
                break
        self.highest = max(self.highest, place)
        chain.is_read = is_read
        self._lent.remove(chain.segment)
        if answers:
            self._tried.discard(low)
        self._rows += len(taken)
        if is_read and high is None:
            self._end = place
        elif not is_read:
            self._free = (
                _merged([*self._free, (place, high)]) if place > low else sorted([*self._free, (low, high)], key=_low)
            )
        if high is not None:
            self._ids += (high if is_read else place) - low
        elif not is_read and len(answers) == len(chain.keys):
            self._chain = min(CHAIN_GROWTH * self._chain, BATCH_SIZE)
        return taken

    def _check_filter(self, page: "Page") -> None:
        """An unknown or unreadable filter is no error to the portal: it returns everything, which is no loss."""
        if self._since is None or self.warning:
            return
        for text in page.cursors:
            try:
                is_before = datetime.fromisoformat(text) < self._since
            except (ValueError, TypeError):
                continue  # another shape, or no offset
            if is_before:
                self.warning = "the portal ignored the filter by time, so everything was read"
                return


class KeysetLease:
    """Chains of one keyset walk on their way to the portal."""

    def __init__(self, walk: KeysetWalk) -> None:
        self.commands: dict[str, Command] = {}
        self.chains: list[_Chain] = []
        self.needless: set[str] = set()  # commands behind a page that was the last one
        self._walk = walk

    def take(self, outcomes: Mapping[str, Envelope | CommandError]) -> list[Row]:
        """Take the answers; see `Lease`."""
        taken: list[Row] = []
        for chain in self.chains:
            good = _until_failure([outcomes.get(key) for key in chain.keys])
            taken += self._walk.take_chain(chain, good)
            if chain.is_read:
                self.needless.update(chain.keys[len(good) :])
        return taken


def _begins_anew(page: "Page", place: int) -> bool:
    """Whether a page repeats what was read: its id filter was ignored, or referred to a row that was not there."""
    return bool(page.ids) and page.ids[0] <= place


def _is_last(page: "Page") -> bool:
    return len(page.ids) < PAGE_SIZE


def _low(segment: Segment) -> int:
    return segment[0]


def _cut(low: int, high: int) -> list[Segment]:
    """Cut ids into places to try, in whole pages."""
    if low >= high:
        return []
    places = max(1, min(PROBES, (high - low) // (PAGE_SIZE * PROBE_PAGES)))
    width = ceil((high - low) / places / PAGE_SIZE) * PAGE_SIZE
    return [(start, min(start + width, high)) for start in range(low, high, width)]


def _merged(segments: Sequence[Segment]) -> list[Segment]:
    """Sort segments and join those that touch, but keep an end apart from what is bounded."""
    joined: list[Segment] = []
    for low, high in sorted(segments, key=lambda segment: (segment[0], segment[1] is None)):
        if joined and joined[-1][1] == low and high is not None:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


class OffsetWalk:
    """A small list, read whole: one answer, or pages by offset until the portal names no next one.

    An offset past the end would return the first page again, so only the portal's own `next` continues it; where the
    portal names none (`ends_short`), a page that is not full ends it. Pages that were asked for behind the end are
    thrown away.

    Source: Bitrix24 REST docs, list-methods-pecularities.md.
    """

    def __init__(self, entity: Entity) -> None:
        self.entity, self.method, self.tolerates = entity, entity.method, _tolerated(entity)
        self.methods: tuple[str, ...] = (entity.method,)
        self.note = ""
        self.failure: Failure | None = None
        self.usage = WalkUsage()
        self._offset = 0
        self._chain = 1  # pages to ask for at once; grows while there are more
        self._is_lent = False
        self._is_read = False

    @property
    def done(self) -> bool:
        """Whether everything is read, or given up with a note."""
        return self._is_read or bool(self.note)

    @property
    def wish(self) -> int:
        """How many commands it can use now."""
        return 0 if self._is_lent or self.done else self._chain

    def lease(self, count: int, prefix: str, method: str) -> "OffsetLease":
        """Lend commands; see `Walk`."""
        self._is_lent = True
        commands = {}
        for number in range(min(count, self._chain)):
            offset = self._offset + number * PAGE_SIZE
            params = {**self.entity.params, **(dict.fromkeys(self.entity.offset_keys, offset) if offset else {})}
            commands[f"{prefix}p{number}"] = Command(self.method, params)
        return OffsetLease(self, commands)

    def give_back(self, answers: Sequence[Envelope]) -> list[Row]:
        """Take the answers to the first of its commands, in order, and return their rows."""
        self._is_lent = False
        taken: list[Row] = []
        for answer in answers:
            rows = rows_at(answer, self.entity.path, self.method)
            taken += rows
            self.usage.pages += 1
            if self.entity.ends_short:
                self._is_read = len(rows) < PAGE_SIZE
            elif answer.next is not None and answer.next <= self._offset and len(rows) == PAGE_SIZE:
                raise PortalError(f"{self.method} begins anew at each page, so only its first {PAGE_SIZE} rows came.")
            else:
                self._is_read = answer.next is None or answer.next <= self._offset
            if self._is_read:
                return taken
            self._offset += PAGE_SIZE
        if answers:
            self._chain = min(CHAIN_GROWTH * self._chain, BATCH_SIZE)
        return taken


@dataclass
class OffsetLease:
    """Pages of one offset walk on their way to the portal."""

    walk: OffsetWalk
    commands: dict[str, Command]

    def take(self, outcomes: Mapping[str, Envelope | CommandError]) -> list[Row]:
        """Take the answers; see `Lease`."""
        return self.walk.give_back(_until_failure([outcomes.get(key) for key in self.commands]))


class SingleCall:
    """One command whose answer is kept as it is."""

    def __init__(self, command: Command, *, optional: bool = False) -> None:
        self.method, self.tolerates = command.method, ANY_REFUSAL if optional else NOTHING
        self.methods: tuple[str, ...] = (command.method,)
        self.note = ""
        self.failure: Failure | None = None
        self.usage = WalkUsage()
        self.answer: Envelope | None = None
        self._command = command
        self._is_lent = False

    @property
    def done(self) -> bool:
        """Whether it is answered, or given up with a note."""
        return self.answer is not None or bool(self.note)

    @property
    def wish(self) -> int:
        """How many commands it can use now."""
        return 0 if self._is_lent or self.done else 1

    def lease(self, count: int, prefix: str, method: str) -> "SingleLease":
        """Lend its command; see `Walk`."""
        self._is_lent = True
        return SingleLease(self, {f"{prefix}p0": self._command})

    def give_back(self, answer: Envelope | None) -> None:
        """Take the answer, if there is one."""
        self._is_lent, self.answer = False, answer


@dataclass
class SingleLease:
    """The command of a single call on its way to the portal."""

    call: SingleCall
    commands: dict[str, Command]

    def take(self, outcomes: Mapping[str, Envelope | CommandError]) -> list[Row]:
        """Take the answer; see `Lease`."""
        good = _until_failure([outcomes.get(key) for key in self.commands])
        self.call.give_back(good[0] if good else None)
        return []


@dataclass
class _Turn:
    """One request on its way: the leases in it by number of the walk, and what it costs."""

    leases: list[tuple[Walk, Lease]]
    lane: int
    usage: Usage = field(default_factory=Usage)

    @property
    def commands(self) -> dict[str, Command]:
        return {key: command for _, lease in self.leases for key, command in lease.commands.items()}


class Reader:
    """Reads walks to their ends: many of them per request, many requests at once, within the portal's limits.

    A method that must rest does not stop the others. Requests start as fast as the portal's bucket lets them; one that
    answers slowly just has more of them under way. Batches that take too long become smaller, and faults make fewer
    requests at once.
    """

    def __init__(self, client: BitrixClient) -> None:
        self._client = client
        self._slots = BATCH_SIZE
        self._in_flight = client.in_flight
        self._failures: Counter[int] = Counter()  # in a row, by walk
        self._rest_until: dict[int, float] = {}  # by walk

    def read(self, walks: Sequence[Walk]) -> Iterator[list[tuple[Walk, list[Row]]]]:
        """Yield after each answer what every walk in it brought; a walk's `left` then is what is not read yet.

        Raises:
            AccessError, PortalUnavailable, PortalError: as the client; a refusal of an optional method alone
                ends its walk with a note instead.
        """
        flying: dict[Future[BatchAnswer], _Turn] = {}
        pool = ThreadPoolExecutor(self._client.in_flight, thread_name_prefix="bitrix24")
        try:
            while True:
                if turn := self._next(walks, flying):
                    # many are asked before the first of their threads runs
                    self._client.expect(turn.commands, turn.lane, turn.usage)
                    flying[pool.submit(self._client.batch, turn.commands, turn.lane, turn.usage)] = turn
                elif flying:
                    ready, _ = wait(flying, timeout=self._pause(walks), return_when=FIRST_COMPLETED)
                    for future in ready:
                        yield self._settle(flying.pop(future), future)
                elif any(not walk.done for walk in walks):
                    self._client.sleep(self._pause(walks) or 0.01)
                else:
                    return
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for future, turn in flying.items():
                if future.cancelled():
                    self._client.forget(turn.lane, turn.usage)

    def _next(self, walks: Sequence[Walk], flying: Mapping[Any, _Turn]) -> _Turn | None:
        """Fill the next request, if one may start now."""
        if len(flying) >= self._in_flight or not self._client.take_place():
            return None
        now = self._client.now()
        ready = [walk for walk in walks if walk.wish and self._rest_until.get(id(walk), now) <= now]
        for lane in sorted(self._client.lanes, key=lambda lane: sum(turn.lane == lane for turn in flying.values())):
            leases = [
                (ready[number], ready[number].lease(count, f"w{number}", method))
                for (number, method), count in self._share_out(ready, lane, is_first=not flying).items()
            ]
            if leases:
                return _Turn(leases, lane, Usage(places=1))
        self._client.give_place_back()
        return None

    def _share_out(self, ready: Sequence[Walk], lane: int, *, is_first: bool) -> dict[tuple[int, str], int]:
        """Share the batch out one command at a time, so that long walks cannot crowd out short ones.

        Returns:
            number of commands by the walk's number and the method: the first of its methods that has time left.
        """
        wishes = [walk.wish for walk in ready]
        budget = {m: self._client.allowance(m, lane) for m in {m for walk in ready for m in walk.methods}}
        chosen = [next((m for m in walk.methods if budget[m] > 0), walk.method) for walk in ready]
        slots = self._slots if is_first else min(self._slots, self._tapered(ready, wishes, lane))
        granted: Counter[tuple[int, str]] = Counter()
        while slots:
            before = slots
            for number, method in enumerate(chosen):
                if slots and granted[number, method] < wishes[number] and budget[method] > 0:
                    granted[number, method] += 1
                    budget[method] -= 1
                    slots -= 1
            if slots == before:
                break
        return +granted

    def _tapered(self, ready: Sequence[Walk], wishes: Sequence[int], lane: int) -> int:
        """Batch size with which the rest is read soonest: the last requests should not take longer than their turn.

        With `k` pages a batch the rest takes pages / k / rate to start and k * cost for the last one to answer.
        """
        pages = sum(wishes)
        cost = sum(self._client.cost_s(walk.method, lane) * wish for walk, wish in zip(ready, wishes, strict=True))
        return max(1, ceil(sqrt(pages * pages / (self._client.rate_per_s * cost)))) if cost else BATCH_SIZE

    def _pause(self, walks: Sequence[Walk]) -> float | None:
        """Seconds until a request may start, None if only an answer can change that."""
        now = self._client.now()
        waits = [
            max(
                self._rest_until.get(id(walk), now) - now,
                min(self._client.wait_s(m, lane) for m in walk.methods for lane in self._client.lanes),
            )
            for walk in walks
            if walk.wish
        ]
        pause = min(waits, default=float("inf"))
        return max(pause, self._client.request_wait_s(), 0.001) if pause < float("inf") else None

    def _settle(self, turn: _Turn, future: "Future[BatchAnswer]") -> list[tuple[Walk, list[Row]]]:
        commands = turn.commands
        answer: Mapping[str, Envelope | CommandError] = {}
        try:
            answer = future.result()
        except BatchTimeoutError:
            self._slots = max(1, min(self._slots, len(commands) // 2))
            self._slow_down()
            log.info("a batch of %d commands took too long; going on with %d", len(commands), self._slots)
        else:
            # heavy rows may stay heavy, so the way back is slow
            self._slots = min(BATCH_SIZE, self._slots + 1)
            self._in_flight = min(self._client.in_flight, self._in_flight + 1)
        if turn.usage.retries:
            self._slow_down()
        busiest, _ = max(turn.leases, key=lambda pair: len(pair[1].commands))
        busiest.usage.requests += turn.usage.requests
        busiest.usage.retries += turn.usage.retries
        busiest.usage.refusals += turn.usage.refusals  # those of commands are moved to their walks below

        brought = []
        for walk, lease in turn.leases:
            outcomes = {key: answer[key] for key in lease.commands if key in answer}
            errors = [outcome for outcome in outcomes.values() if isinstance(outcome, CommandError)]
            good = [outcome for outcome in outcomes.values() if isinstance(outcome, Envelope)]
            limited = sum(error.failure.kind in (Kind.OPERATING, Kind.THROTTLED) for error in errors)
            walk.usage.refusals += limited
            busiest.usage.refusals -= limited
            walk.usage.commands += len(outcomes)
            walk.usage.operating_s += sum(envelope.operating_s for envelope in good)
            brought.append((walk, lease.take(outcomes)))
            if good:
                self._failures.pop(id(walk), None)
            # behind a last page a reference leads nowhere, which some methods refuse: that is no failure
            needless = lease.needless if isinstance(lease, KeysetLease) else ()
            failed = [
                error for key, error in outcomes.items() if isinstance(error, CommandError) and key not in needless
            ]
            if failed and not walk.done:
                self._fail(walk, failed[0])
        return brought

    def _slow_down(self) -> None:
        self._in_flight = max(1, self._in_flight // 2)

    def _fail(self, walk: Walk, error: CommandError) -> None:
        """Handle a failed command: let its walk rest, end it with a note, or end the run."""
        failure = error.failure
        reason = self._client.describe(error.method, failure)
        if failure.kind is Kind.OPERATING:
            return  # the client lets the method rest
        if failure.kind is Kind.THROTTLED or failure.kind is Kind.TRANSIENT:
            walk.usage.retries += 1
            self._client.usage.retries += 1
            self._failures[id(walk)] += 1
            times = self._failures[id(walk)]
            allowed = failure.retries if failure.kind is Kind.TRANSIENT else 2 * TRANSIENT_RETRIES
            if times <= allowed:
                self._rest_until[id(walk)] = self._client.now() + backoff_s(times)
                return
            if failure.retries == TRANSIENT_RETRIES or failure.kind is Kind.THROTTLED:
                raise PortalUnavailable(
                    f"The portal keeps failing ({reason}). Run again later: the run goes on from what was loaded."
                )
        if error.method != walk.method:
            walk.methods = (walk.method,)  # it can be read without the other one
            return
        if failure.kind in walk.tolerates:
            walk.note, walk.failure = f"skipped, the portal refuses it ({reason})", failure
            return
        raise _refusal(reason, failure)


def _tolerated(entity: Entity) -> frozenset[Kind]:
    return ANY_REFUSAL if entity.optional else NOTHING


def _refusal(reason: str, failure: Failure) -> AccessError | PortalError:
    if failure.kind is Kind.DENIED:
        return AccessError(
            f"The portal refuses a table that is needed ({reason}). Give the webhook the scope it lacks and let an "
            "administrator own it; `b24 check` names what is missing.",
            failure.code,
        )
    return PortalError(f"The portal refused a request ({reason}). Run `b24 check` to see what it allows.")


def _until_failure(outcomes: Sequence[Envelope | CommandError | None]) -> list[Envelope]:
    good: list[Envelope] = []
    for outcome in outcomes:
        if not isinstance(outcome, Envelope):
            break
        good.append(outcome)
    return good


@dataclass(frozen=True)
class Page:
    """One page: rows as JSON, their ids as integers (as text "100" would come before "99"), their cursors as sent."""

    rows: list[Row]
    ids: list[int]
    cursors: list[Any]


_decode_rows = msgspec.json.Decoder(list[Row]).decode


def read_page(page: Envelope | bytes, entity: Entity) -> Page:
    """Read one page without decoding more of a row than its id and its cursor.

    Raises:
        PortalError: not a list of rows, or a row without an id.
    """
    data = _at(page.json, entity.path) if isinstance(page, Envelope) else page
    if bytes(memoryview(data)[:2]) in (b"[]", b"{}", b"nu"):
        return Page([], [], [])
    try:
        rows = _decode_rows(data)
    except msgspec.DecodeError:
        raise PortalError(f"{entity.method} answered with something other than a list of rows.") from None
    try:
        known = _row_decoder(entity.id, _cursor_key(entity))(data)
        ids = [int(row.id) for row in known]
    except (msgspec.DecodeError, ValueError):
        raise PortalError(f"{entity.method} answered with a row without an id.") from None
    return Page(rows, ids, [row.cursor for row in known])


def _cursor_key(entity: Entity) -> str:
    """The cursor's key in a row: `CHANGED_DATE` is asked for, `changedDate` comes."""
    cursor = entity.cursor or ""
    if entity.id.isupper() or not cursor.isupper():
        return cursor
    return to_camel(cursor.lower())


@lru_cache
def _row_decoder(id_key: str, cursor_key: str) -> Any:
    row = msgspec.defstruct(
        "Row",
        [
            ("id", int | str, msgspec.field(name=id_key)),
            ("cursor", Any, msgspec.field(name=cursor_key or " ", default=None)),
        ],
    )
    return msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]


def rows_at(answer: Envelope, path: Sequence[str], method: str) -> list[Row]:
    """Return the rows of an answer; an empty list or map stands for none.

    Raises:
        PortalError: the answer has another shape.
    """
    data = _at(answer.json, path)
    if bytes(memoryview(data)[:2]) in (b"[]", b"{}", b"nu"):
        return []
    try:
        rows: list[Row] = _decode_rows(data)
    except msgspec.DecodeError:
        rows = [Row(b"")]
    if any(bytes(memoryview(row)[:1]) != b"{" for row in rows):
        raise PortalError(f"{method} answered with something other than a list of rows.")
    return rows


_decode_map = msgspec.json.Decoder(dict[str, Row]).decode


def _at(data: bytes | Row, path: Sequence[str]) -> bytes | Row:
    for key in path:
        data = _decode_map(data).get(key, Row(b"[]")) if bytes(memoryview(data)[:1]) == b"{" else data
    return data
