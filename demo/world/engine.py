"""The engine: tables, one random stream, and a queue of what will happen, in order of time.

The two years before the first moment and every day after it are lived through by the same events, so
ids grow with time, a row's modification time is that of its last event, and nothing lies in the future.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from demo.world.clock import DAY_S, portal_stamp
from demo.world.model import ID_FIELDS, KEPT_APART, TABLE_NAMES, Row, Table

T = TypeVar("T")
Action = Callable[[], object]

GAP_CHANCE = 0.02  # ids of rows that were deleted before anybody looked


class Engine:
    """State that every part of the world shares.

    Attributes:
        now: instant of the event being lived through, seconds since 1970.
        rng: the only source of chance, so that a seed decides everything.
    """

    def __init__(self, seed: int, start: int) -> None:
        """Begin with empty tables at `start`."""
        self.seed = seed
        self.now = start
        self.rng = random.Random(seed)
        self.tables = {name: Table(name) for name in (*TABLE_NAMES, *KEPT_APART)}
        self._queue: list[tuple[int, int, Action]] = []
        self._scheduled = 0
        self._multifield_id = 1000
        self._hearers: defaultdict[str, list[Callable[..., object]]] = defaultdict(list)

    def at(self, moment: int, action: Action) -> None:
        """Let an action happen at a moment; one that has passed means as soon as possible."""
        self._scheduled += 1
        heapq.heappush(self._queue, (max(moment, self.now), self._scheduled, action))

    def after(self, seconds: float, action: Action) -> None:
        """Let an action happen some seconds from now."""
        self.at(self.now + int(seconds), action)

    def hear(self, what: str, hearer: Callable[..., object]) -> None:
        """Let a later part of the world learn what happens in an earlier one."""
        self._hearers[what].append(hearer)

    def tell(self, what: str, *about: Any) -> None:
        """Say that something has happened; hearers must draw nothing from `rng`."""
        for hearer in self._hearers[what]:
            hearer(*about)

    def run_until(self, moment: int) -> None:
        """Live through everything up to and including a moment."""
        while self._queue and self._queue[0][0] <= moment:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = moment

    def add(self, table: str, row: Row, *, gaps: bool = True) -> int:
        """Store a row under the next id, write the id into it as its method prints it, and return it."""
        step = self.rng.randint(2, 4) if gaps and self.rng.random() < GAP_CHANCE else 1
        row_id = self.tables[table].add(row, step=step)
        row[ID_FIELDS[table]] = str(row_id)
        return row_id

    def burn_id(self, table: str) -> int:
        """Return an id that no row will ever have, as if its row had been deleted."""
        self.tables[table].last_id += 1
        return self.tables[table].last_id

    def exists(self, table: str, row_id: int) -> bool:
        """Tell whether a row is still there."""
        return row_id in self.tables[table].rows

    def touch(self, row: Row, user: str) -> None:
        """Mark a CRM row as modified now by a user."""
        row["DATE_MODIFY"] = portal_stamp(self.now)
        row["MODIFY_BY_ID"] = user

    def multifield(self, kind: str, value: str, value_type: str = "WORK") -> Row:
        """Return one entry of a PHONE or EMAIL list."""
        self._multifield_id += 1
        return {"ID": str(self._multifield_id), "VALUE_TYPE": value_type, "VALUE": value, "TYPE_ID": kind}

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return self.rng.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items, all equally likely."""
        return items[int(self.rng.random() * len(items))]

    def days(self, median: float, sigma: float = 0.8) -> int:
        """Return a waiting time in seconds, log-normal around a median in days."""
        return int(median * DAY_S * math.exp(self.rng.gauss(0.0, sigma)))
