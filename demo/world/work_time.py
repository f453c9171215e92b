"""Work time: one record per employee and working day, since the portal began to keep them."""

from __future__ import annotations

from functools import partial

from demo.world.clock import DAY_S, HOUR_S, MINUTE_S, SATURDAY, day_start, local_day, portal_stamp, weekday
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row

KEPT_DAYS = 120
PRESENT = 0.9


class WorkTime:
    """Opens and closes the working days of everyone who works here."""

    def __init__(self, engine: Engine, end: int) -> None:
        """Begin some months before `end`."""
        self._engine = engine
        self._dice = Dice(engine.seed, "work time")
        self._table = engine.tables["work_time_records"]
        engine.at(day_start(local_day(end) - KEPT_DAYS), self._one_day)

    def one_day(self) -> None:
        """Let a head correct and approve a day of the last two weeks."""
        latest = [row for row in list(self._table.rows.values())[-300:] if row["state"] == "CLOSED"]
        if latest:
            row = self._dice.pick(latest)
            row |= {"breakLength": row["breakLength"] + 600, "duration": row["duration"] - 600, "isApproved": True}

    def _one_day(self) -> None:
        day = local_day(self._engine.now)
        self._engine.at(day_start(day + 1), self._one_day)
        if weekday(day) >= SATURDAY:
            return
        users = self._engine.tables["users"].rows
        present = [
            user_id
            for user_id, row in users.items()
            if row["ACTIVE"] and row["USER_TYPE"] == "employee" and self._dice.chance(PRESENT)
        ]
        moments = sorted(
            (day_start(day) + 9 * HOUR_S + self._dice.number(-20, 40) * MINUTE_S + self._dice.number(0, 59), user_id)
            for user_id in present
        )
        for moment, user_id in moments:
            self._engine.at(moment, partial(self._open, user_id))

    def _open(self, user_id: int) -> None:
        start = self._engine.now
        row: Row = {
            "id": 0,
            "userId": user_id,
            "startTime": portal_stamp(start),
            "endTime": None,
            "duration": 0,
            "breakLength": 0,
            "state": "OPENED",
            "isApproved": True,
        }
        row["id"] = self._table.add(row)
        if self._dice.chance(0.98):  # some forget to leave
            end = start + 9 * HOUR_S + self._dice.number(-60, 90) * MINUTE_S
            self._engine.at(end, partial(self._close, row, start))
        else:
            self._engine.at(start + DAY_S, partial(self._expire, row))

    def _close(self, row: Row, start: int) -> None:
        rest = self._dice.number(20, 80) * MINUTE_S
        row |= {"endTime": portal_stamp(self._engine.now), "breakLength": rest, "state": "CLOSED"}
        row["duration"] = self._engine.now - start - rest
        row["isApproved"] = self._dice.chance(0.95)

    @staticmethod
    def _expire(row: Row) -> None:
        row |= {"state": "EXPIRED", "isApproved": False}
