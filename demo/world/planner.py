"""How much comes in on each day: demand grows, has seasons and weekdays, and totals what was asked for."""

from __future__ import annotations

from functools import partial

from demo.world.channels import Channels
from demo.world.clients import AddressBook
from demo.world.clock import (
    DAY_S,
    OFFICE_HOURS,
    VISITOR_HOURS,
    HoursOfDay,
    day_start,
    day_weight,
    local_day,
)
from demo.world.deals import DealDesk
from demo.world.engine import Engine
from demo.world.leads import LeadDesk
from demo.world.staff import Staff
from demo.world.tasks import TaskBoard

LEADS_PER_DEAL = 1.3
INTERNAL_TASKS_PER_DEAL = 0.08
OLD_IMPORTS_SHARE = 0.01
FROM_LEAD, SECOND_OF_LEAD = 0.46, 0.03  # shares of deals; the rest begin without a lead
AHEAD_DAYS = 30  # a lead comes up to this long before its deal


class Stream:
    """Events of one kind: their share of each day and how many are still owed."""

    def __init__(self, engine: Engine, hours: tuple[int, ...], weekend: float) -> None:
        """Take the daily rhythm and the demand of a Saturday."""
        self._engine = engine
        self._hours = HoursOfDay(hours)
        self._weekend = weekend
        self.rate = 0.0  # events per unit of weight
        self._weight = 0.0
        self._planned = 0

    def weight(self, start: int, end: int) -> float:
        """Return the demand between two instants of one day."""
        day = local_day(start)
        part = self._share(day, end) - self._share(day, start)
        return day_weight(day, weekend=self._weekend) * part

    def moments(self, start: int, end: int) -> list[int]:
        """Return when events happen between two instants of one day, keeping the running total exact."""
        self._weight += self.weight(start, end)
        count = round(self._weight * self.rate) - self._planned
        self._planned += count
        day = local_day(start)
        low, high = self._share(day, start), self._share(day, end)
        shares = sorted(self._engine.rng.uniform(low, high) for _ in range(count))
        return [min(max(day_start(day) + self._hours.second_at(share), start), end) for share in shares]

    def _share(self, day: int, moment: int) -> float:
        return self._hours.share_before(moment - day_start(day))


class Planner:
    """Turns a number of deals over a period into arrivals, and goes on after it at the same pace."""

    def __init__(
        self,
        engine: Engine,
        staff: Staff,
        channels: Channels,
        book: AddressBook,
        leads: LeadDesk,
        deals: DealDesk,
        tasks: TaskBoard,
    ) -> None:
        """Take the desks that receive the arrivals."""
        self._engine = engine
        self._staff = staff
        self._channels = channels
        self._book = book
        self._leads = leads
        self._deals = deals
        self._tasks = tasks
        self.deal_stream = Stream(engine, OFFICE_HOURS, 0.12)
        self.lead_stream = Stream(engine, VISITOR_HOURS, 0.4)
        self.task_stream = Stream(engine, OFFICE_HOURS, 0.02)
        self._planned_until = engine.now

    def set_out(self, deals: int, start: int, now: int) -> None:
        """Plan exactly `deals` deals between two instants, the old imports among them."""
        imports = max(round(deals * OLD_IMPORTS_SHARE), 1)
        for number in range(imports):
            self._engine.at(start + number // 20, self._deals.import_old)
        extra_leads = deals * (LEADS_PER_DEAL - FROM_LEAD)
        for stream, count in (
            (self.deal_stream, deals - imports),
            (self.lead_stream, extra_leads),
            (self.task_stream, deals * INTERNAL_TASKS_PER_DEAL),
        ):
            total = sum(stream.weight(low, high) for low, high in _days(start, now))
            stream.rate = count / total
        self._plan_until(now)
        self.keep_ahead(now)

    def keep_ahead(self, moment: int) -> None:
        """Plan far enough that leads of later deals come in time."""
        self._plan_until(moment + AHEAD_DAYS * DAY_S)

    def _plan_until(self, moment: int) -> None:
        for low, high in _days(self._planned_until, moment):
            for at in self.deal_stream.moments(low, high):
                self._plan_deal(at)
            for at in self.lead_stream.moments(low, high):
                self._engine.at(at, partial(self._leads.arrive, deal_at=None))
            for at in self.task_stream.moments(low, high):
                self._engine.at(at, self._tasks.internal)
        self._planned_until = max(moment, self._planned_until)

    def _plan_deal(self, at: int) -> None:
        roll = self._engine.rng.random()
        if roll < FROM_LEAD:
            lag = min(self._engine.days(2.5, 1.1), (AHEAD_DAYS - 1) * DAY_S)
            lag = min(lag, int((at - self._engine.now) * self._engine.rng.random()))
            self._engine.at(at - lag, partial(self._leads.arrive, deal_at=at))
        elif roll < FROM_LEAD + SECOND_OF_LEAD:
            self._engine.at(at, self._second_deal)
        else:
            self._engine.at(at, self._direct_deal)

    def _second_deal(self) -> None:
        if not self._leads.second_deal():
            self._direct_deal()

    def _direct_deal(self) -> None:
        """Create a deal without a lead: for a client who bought before, a new one, or nobody known."""
        origin = self._channels.draw_repeat()
        pipeline = self._deals.choose_pipeline()
        seller = self._staff.responsible(pipeline.team)
        if self._engine.chance(0.06):
            self._deals.create(origin, None, seller, pipeline)
            return
        client = self._book.buyer() if self._engine.chance(0.72) else None
        if client is None:
            client = self._book.new_client(origin, seller)
        self._deals.create(origin, client, seller, pipeline)


def _days(start: int, end: int) -> list[tuple[int, int]]:
    """Cut a span at midnights of the portal's zone."""
    spans = []
    while start < end:
        midnight = day_start(local_day(start) + 1)
        spans.append((start, min(midnight, end)))
        start = midnight
    return spans
