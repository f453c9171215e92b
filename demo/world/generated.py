"""A table of deals, as large as asked for, of which no row is kept: each is made from its id when it is read.

A row is that of a deal of the world, chosen by the id, with its own id, title and times. Ids and times grow together,
so a filter on a time is a search among the ids.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from demo.world.clock import DAY_S, date_stamp, day_start, local_day, portal_stamp
from demo.world.model import Row
from demo.world.quirks import GLUED_PHONES

HISTORY_S = 730 * DAY_S
PATTERNS = 997  # deals of the world that the rows are made of, at most
_STRIDE = 389  # neighbours in the table are no neighbours in the world
_CLOSE_DAYS = 30


class Slots:
    """Texts that stand in a pattern for what follows from the id; the id's is a number, and stays one when cast."""

    ID = "987654321987654321"
    CREATED = "\ue000created\ue000"
    MODIFIED = "\ue000modified\ue000"
    BEGIN = "\ue000begin\ue000"
    CLOSE = "\ue000close\ue000"


@dataclass(frozen=True)
class Period:
    """Ids given out between two instants, evenly."""

    first_id: int
    count: int
    start: int
    end: int

    def created(self, row_id: int) -> int:
        """Return when a row was created; grows with the id."""
        return self.start + (row_id - self.first_id) * (self.end - self.start) // self.count

    def modified(self, row_id: int) -> int:
        """Return when a row was last changed: some time after its creation; grows with the id too."""
        created = self.created(row_id)
        return created + (self.end - created) * 3 // 10


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return date_stamp(day)


@lru_cache(maxsize=DAY_S)
def _hour(second: int) -> str:
    return portal_stamp(day_start(0) + second)[10:]


def _stamp(moment: int) -> str:
    """Do as `portal_stamp`, by parts that come again and again."""
    day = local_day(moment)
    return _date(day)[:10] + _hour(moment - day_start(day))


class GeneratedDeals:
    """Deals 1 to `count` over 24 months; `advance` adds newer ones.

    Attributes:
        ids: of all rows, ascending.
        rows: by id, made when looked up.
    """

    def __init__(self, world_deals: Sequence[Row], count: int, now: int, *, id_gaps: float = 0.0) -> None:
        """Take the deals to make rows of, the largest id, the present, and the share of ids that no row has."""
        if not 0 <= id_gaps < 1:
            raise ValueError("the share of ids left out must be at least 0 and less than 1")
        whole = [row for row in world_deals if row.get("OPPORTUNITY") != GLUED_PHONES]
        if not whole:
            raise ValueError("the world has no deals to make others of")
        self.patterns = [_pattern(row) for row in whole[:: -(-len(whole) // PATTERNS)]]
        self._per_second = count / HISTORY_S
        self._gaps = random.Random(f"gaps {count}")
        self._id_gaps = id_gaps
        self.ids: Sequence[int] = range(1, 1)
        self._periods: list[Period] = []
        self._firsts: list[int] = []
        self._extend(count, now - HISTORY_S, now)
        self.rows: Mapping[int, Row] = _Rows(self)

    def advance(self, now: int) -> None:
        """Add the deals that came in until now."""
        end = self._periods[-1].end
        if now > end:
            self._extend(max(round((now - end) * self._per_second), 1), end, now)

    def created(self, row_id: int) -> int:
        """Return when a row was created."""
        return self._period(row_id).created(row_id)

    def modified(self, row_id: int) -> int:
        """Return when a row was last changed."""
        return self._period(row_id).modified(row_id)

    def kind(self, row_id: int) -> int:
        """Return the number of the pattern that a row is made of."""
        return row_id * _STRIDE % len(self.patterns)

    def slots(self, row_id: int) -> dict[str, str]:
        """Return what stands in a row in the places of the slots."""
        period = self._period(row_id)
        created = period.created(row_id)
        day = local_day(created)
        return {
            Slots.ID: str(row_id),
            Slots.CREATED: _stamp(created),
            Slots.MODIFIED: _stamp(period.modified(row_id)),
            Slots.BEGIN: _date(day),
            Slots.CLOSE: _date(day + _CLOSE_DAYS),
        }

    def summary(self) -> dict[str, Any]:
        """Return what a reader must find: how many rows, the largest id and the sum of the ids."""
        return {"count": len(self.ids), "last_id": self.ids[-1], "id_sum": sum(self.ids)}

    def _extend(self, count: int, start: int, end: int) -> None:
        first = self._periods[-1].first_id + self._periods[-1].count if self._periods else 1
        self._periods.append(Period(first, count, start, end))
        self._firsts.append(first)
        if not self._id_gaps:
            self.ids = range(1, first + count)
            return
        chance, share = self._gaps.random, self._id_gaps
        kept = array("Q", self.ids)
        # the newest id stays, so that a table is never empty
        kept.extend(n for n in range(first, first + count) if chance() >= share or n == first + count - 1)
        self.ids = kept

    def _period(self, row_id: int) -> Period:
        if len(self._periods) == 1:
            return self._periods[0]
        return self._periods[max(bisect_right(self._firsts, row_id) - 1, 0)]


def _pattern(row: Row) -> Row:
    times = {"DATE_CREATE": Slots.CREATED, "BEGINDATE": Slots.BEGIN, "CLOSEDATE": Slots.CLOSE}
    times |= dict.fromkeys(("DATE_MODIFY", "MOVED_TIME", "LAST_ACTIVITY_TIME"), Slots.MODIFIED)
    return {**row, **times, "ID": Slots.ID, "TITLE": f"{row.get('TITLE')} №{Slots.ID}"}


class _Rows(Mapping[int, Row]):
    """The rows, as a mapping that holds none."""

    def __init__(self, deals: GeneratedDeals) -> None:
        self._deals = deals

    def __getitem__(self, row_id: int) -> Row:
        deals = self._deals
        if row_id not in self:
            raise KeyError(row_id)
        slots = deals.slots(row_id)
        pattern = deals.patterns[deals.kind(row_id)]
        row = {key: slots.get(value, value) if isinstance(value, str) else value for key, value in pattern.items()}
        row["TITLE"] = row["TITLE"].replace(Slots.ID, slots[Slots.ID])
        return row

    def __contains__(self, row_id: object) -> bool:
        ids = self._deals.ids
        if isinstance(ids, range) or not isinstance(row_id, int):
            return row_id in ids
        place = bisect_right(ids, row_id)
        return place > 0 and ids[place - 1] == row_id

    def __iter__(self) -> Iterator[int]:
        return iter(self._deals.ids)

    def __len__(self) -> int:
        return len(self._deals.ids)
