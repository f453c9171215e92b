"""Walks over lists, packed into batches: several tables share one request, and each walk keeps its own place."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from dlt_sources.bitrix24.client import BATCH_SIZE, PAGE_SIZE, BitrixClient, Command, CommandError, Envelope, backoff_s
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

Row = dict[str, Any]

NOTHING: frozenset[Kind] = frozenset()
# the portal has many words for "not for you", so whatever stays refused counts; an outage is none of these
ANY_REFUSAL = frozenset({Kind.DENIED, Kind.REFUSED, Kind.TRANSIENT})

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


class Walk(Protocol):
    """A list that is being read: says which commands come next and takes their answers."""

    method: str
    tolerates: frozenset[Kind]  # failures that end the walk with a note instead of the run
    done: bool
    note: str
    usage: WalkUsage

    @property
    def wish(self) -> int:
        """How many commands it can use now, at least 1."""

    def commands(self, count: int, prefix: str) -> dict[str, Command]:
        """Return up to `count` commands, under keys that begin with `prefix`."""

    def take(self, answers: Sequence[Envelope]) -> list[Row]:
        """Take the answers to the first of those commands, in order, and return the rows that are new."""


class KeysetWalk:
    """All rows above an id, by ascending id: each row once, whatever is inserted or deleted meanwhile.

    Pages are chained in a batch by reference to the last id of the page before. When a page is short its
    reference does not resolve, and the portal answers the next command from the start of the table: so
    pages are taken in order, and everything behind the first short page is thrown away.

    Source: Bitrix24 REST docs, huge-data.md and batch.md.

    Args:
        entity: what to read.
        after: read ids above this one.
        where: extra filter, e.g. {">=DATE_MODIFY": "2026-01-31T00:00:00+00:00"}.
        max_id: the highest id when the run began, if known; spares commands at the end of a walk.
        chain: pages to ask for at first; doubles while all of them come full.
        tolerates: failures that end the walk with a note; those of the entity if not given.
    """

    def __init__(
        self,
        entity: Entity,
        *,
        after: int = 0,
        where: Mapping[str, Any] | None = None,
        max_id: int | None = None,
        chain: int = 2,
        tolerates: frozenset[Kind] | None = None,
    ) -> None:
        self.entity, self.method = entity, entity.method
        self.tolerates = _tolerated(entity) if tolerates is None else tolerates
        self.last_id = after
        self.done = False
        self.note = ""
        self.usage = WalkUsage()
        self._where = dict(where or {})
        self._max_id = max_id
        self._chain = chain
        self._asked = 0

    @property
    def wish(self) -> int:
        """How many commands it can use now."""
        if self._max_id is None:
            return self._chain
        # ids are unique, so at most this many pages are left, and a last one that shows the end
        at_most = max(self._max_id - self.last_id, 0) // PAGE_SIZE + 1
        return min(BATCH_SIZE, at_most) if not self._where else min(self._chain, at_most)

    def commands(self, count: int, prefix: str) -> dict[str, Command]:
        """Return the next commands; see `Walk`."""
        self._asked = count
        keys = [f"{prefix}p{number}" for number in range(count)]
        places: list[int | str] = [self.last_id, *(self.entity.after_reference(key) for key in keys)]
        return {
            key: Command(self.method, self.entity.page(after, self._where))
            for key, after in zip(keys, places, strict=False)
        }

    def take(self, answers: Sequence[Envelope]) -> list[Row]:
        """Take answers in order; see `Walk`."""
        taken: list[Row] = []
        for position, answer in enumerate(answers):
            rows = rows_at(answer.result, self.entity.path, self.method)
            ids = [row_id(row, self.entity.id, self.method) for row in rows]
            if ids and ids[0] <= self.last_id:
                if position == 0:
                    raise PortalError(
                        f"{self.method} does not continue after id {self.last_id}: the portal ignores the id filter."
                    )
                return taken  # read from the start again: the page before was cut short after it was referred to
            if any(later <= earlier for earlier, later in pairwise(ids)):
                raise PortalError(f"{self.method} does not return rows by ascending id, so none could be trusted.")
            taken += rows
            self.usage.pages += 1
            if ids:
                self.last_id = ids[-1]
            if len(rows) < PAGE_SIZE:
                self.done = True
                return taken
        if len(answers) == self._asked:
            self._chain = min(2 * self._chain, BATCH_SIZE)
        return taken


class OffsetWalk:
    """A small list, read whole: one answer, or pages by offset until the portal names no next one.

    An offset past the end would return the first page again, so only the portal's own `next` continues it.

    Source: Bitrix24 REST docs, list-methods-pecularities.md.
    """

    def __init__(self, entity: Entity) -> None:
        self.entity, self.method, self.tolerates = entity, entity.method, _tolerated(entity)
        self.done = False
        self.note = ""
        self.usage = WalkUsage()
        self._offset = 0

    @property
    def wish(self) -> int:
        """How many commands it can use now."""
        return 1

    def commands(self, count: int, prefix: str) -> dict[str, Command]:
        """Return the next commands; see `Walk`."""
        params = dict(self.entity.params)
        if self._offset:
            params |= dict.fromkeys(self.entity.offset_keys, self._offset)
        return {f"{prefix}p0": Command(self.method, params)}

    def take(self, answers: Sequence[Envelope]) -> list[Row]:
        """Take answers in order; see `Walk`."""
        taken: list[Row] = []
        for answer in answers:
            rows = rows_at(answer.result, self.entity.path, self.method)
            taken += rows
            self.usage.pages += 1
            if answer.next is not None and answer.next <= self._offset and len(rows) == PAGE_SIZE:
                raise PortalError(f"{self.method} begins anew at each page, so only its first {PAGE_SIZE} rows came.")
            if answer.next is None or answer.next <= self._offset:
                self.done = True
            else:
                self._offset = answer.next
        return taken


class SingleCall:
    """One command whose answer is kept as it is."""

    def __init__(self, command: Command, *, optional: bool = False) -> None:
        self.method, self.tolerates = command.method, ANY_REFUSAL if optional else NOTHING
        self.done = False
        self.note = ""
        self.usage = WalkUsage()
        self.answer: Envelope | None = None
        self._command = command

    @property
    def wish(self) -> int:
        """How many commands it can use now."""
        return 1

    def commands(self, count: int, prefix: str) -> dict[str, Command]:
        """Return the next commands; see `Walk`."""
        return {f"{prefix}p0": self._command}

    def take(self, answers: Sequence[Envelope]) -> list[Row]:
        """Take answers in order; see `Walk`."""
        if answers:
            self.answer, self.done = answers[0], True
        return []


@dataclass
class _Turn:
    walk: Walk
    commands: dict[str, Command] = field(default_factory=dict)


class Reader:
    """Reads walks to their ends, many of them per request; a method that must rest does not stop the others."""

    def __init__(self, client: BitrixClient) -> None:
        self._client = client
        self._slots = BATCH_SIZE
        self._failures: Counter[int] = Counter()  # in a row, by walk

    def read(self, walks: Sequence[Walk]) -> Iterator[list[tuple[Walk, list[Row]]]]:
        """Yield after each batch what every walk in it brought; a walk's place then covers exactly these rows.

        Raises:
            AccessError, PortalUnavailable, PortalError: as the client; a refusal of an optional method alone
                ends its walk with a note instead.
        """
        pending = [walk for walk in walks if not walk.done]
        while pending:
            ready = [walk for walk in pending if self._client.wait_s(walk.method) <= 0]
            if not ready:
                self._client.sleep(min(self._client.wait_s(walk.method) for walk in pending))
                continue
            yield self._round(ready)
            pending = [walk for walk in pending if not walk.done]

    def _round(self, ready: Sequence[Walk]) -> list[tuple[Walk, list[Row]]]:
        turns = self._share_out(ready)
        spent = self._client.usage
        requests, retries, refusals = spent.requests, spent.retries, spent.refusals
        try:
            answer = self._client.batch({key: command for turn in turns for key, command in turn.commands.items()})
        except BatchTimeoutError:
            size = sum(len(turn.commands) for turn in turns)
            self._slots = max(1, size // 2)
            log.info("a batch of %d commands took too long; going on with %d", size, self._slots)
            return []
        finally:
            busiest = max(turns, key=lambda turn: len(turn.commands)).walk.usage
            busiest.requests += spent.requests - requests
            busiest.retries += spent.retries - retries
            busiest.refusals += spent.refusals - refusals  # those of commands are moved to their walks below
        # heavy rows may stay heavy, so the way back is slow
        self._slots = min(BATCH_SIZE, self._slots + 1)

        failed = 0
        brought = []
        for turn in turns:
            good, error = _until_failure([answer[key] for key in turn.commands])
            limited = sum(_is_limit_hit(answer[key]) for key in turn.commands)
            turn.walk.usage.refusals += limited
            busiest.refusals -= limited
            turn.walk.usage.commands += len(turn.commands)
            turn.walk.usage.operating_s += sum(envelope.operating_s for envelope in good)
            rows = turn.walk.take(good)
            if error is None or turn.walk.done or good:
                self._failures.pop(id(turn.walk), None)
            if error is not None and not turn.walk.done:
                failed = max(failed, self._fail(turn.walk, error))
            brought.append((turn.walk, rows))
        if failed:
            self._client.sleep(backoff_s(failed))
        return brought

    def _share_out(self, ready: Sequence[Walk]) -> list[_Turn]:
        """Share the batch out one command at a time, so that long walks cannot crowd out short ones."""
        granted: Counter[int] = Counter()
        wishes = [walk.wish for walk in ready]
        slots = self._slots
        while slots:
            hungry = [number for number, wish in enumerate(wishes) if granted[number] < wish][:slots]
            if not hungry:
                break
            granted.update(hungry)
            slots -= len(hungry)
        return [_Turn(ready[number], ready[number].commands(count, f"w{number}")) for number, count in granted.items()]

    def _fail(self, walk: Walk, error: CommandError) -> int:
        """Handle a failed command; returns how often in a row its walk failed in a way that calls for a pause."""
        failure = error.failure
        reason = self._client.describe(walk.method, failure)
        if failure.kind is Kind.OPERATING:
            return 0  # the client lets the method rest
        if failure.kind is Kind.THROTTLED or failure.kind is Kind.TRANSIENT:
            walk.usage.retries += 1
            self._client.usage.retries += 1
            self._failures[id(walk)] += 1
            times = self._failures[id(walk)]
            allowed = failure.retries if failure.kind is Kind.TRANSIENT else 2 * TRANSIENT_RETRIES
            if times <= allowed:
                return times
            if failure.retries == TRANSIENT_RETRIES or failure.kind is Kind.THROTTLED:
                raise PortalUnavailable(
                    f"The portal keeps failing ({reason}). Run again later: the run goes on from what was loaded."
                )
        if failure.kind in walk.tolerates:
            walk.done, walk.note = True, f"skipped, the portal refuses it ({reason})"
            return 0
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


def _is_limit_hit(outcome: Envelope | CommandError) -> bool:
    return isinstance(outcome, CommandError) and outcome.failure.kind in (Kind.OPERATING, Kind.THROTTLED)


def _until_failure(outcomes: Sequence[Envelope | CommandError]) -> tuple[list[Envelope], CommandError | None]:
    good: list[Envelope] = []
    for outcome in outcomes:
        if isinstance(outcome, CommandError):
            return good, outcome
        good.append(outcome)
    return good, None


def rows_at(result: Any, path: Sequence[str], method: str) -> list[Row]:
    """Return the rows of an answer; an empty list or map stands for none.

    Raises:
        PortalError: the answer has another shape.
    """
    for key in path:
        result = result.get(key, []) if isinstance(result, Mapping) else result
    if result in ({}, None, []):
        return []
    if not isinstance(result, list) or not all(isinstance(row, dict) for row in result):
        raise PortalError(f"{method} answered with something other than a list of rows.")
    return result


def row_id(row: Row, key: str, method: str) -> int:
    """Return a row's id as an integer: as text "100" would come before "99".

    Raises:
        PortalError: the row has no such id.
    """
    try:
        return int(row[key])
    except (KeyError, TypeError, ValueError):
        raise PortalError(f"{method} answered with a row without an id.") from None
