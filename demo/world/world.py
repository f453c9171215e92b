"""The world: everything built in order, a clock, and the questions that others ask."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from demo.world.advance import EverydayChanges, Shredder
from demo.world.channels import Channels
from demo.world.clients import AddressBook
from demo.world.clock import DAY_S
from demo.world.communication import Communication
from demo.world.deals import DealDesk
from demo.world.engine import Engine
from demo.world.fields import CustomFields
from demo.world.inputs import write_ad_spend, write_sales_plan
from demo.world.leads import LeadDesk
from demo.world.model import PORTAL_TZ, TABLE_NAMES, Table
from demo.world.names import Names
from demo.world.planner import LEADS_PER_DEAL, Planner
from demo.world.portal_setup import BASE_CURRENCY, build_pipelines, write_dictionaries
from demo.world.staff import Staff
from demo.world.tasks import TaskBoard

HISTORY_DAYS = 730


@contextmanager
def _without_collector() -> Iterator[None]:
    """Hold Python's cycle collector back: it would search millions of living rows, again and again, for no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class World:
    """All rows of the portal at one moment, and the way to later ones.

    Attributes:
        seed: decides everything that is not asked for.
        tables: rows by table and id; names as in the raw contract, statuses and currencies by a running number.
        deleted: ids of rows deleted by `advance`, per table.
    """

    def __init__(self, seed: int, deals: int, now: datetime) -> None:
        """Live through the company's 24 months; callers use `generate`."""
        end = int(now.timestamp())
        start = end - HISTORY_DAYS * DAY_S
        engine = Engine(seed, start)
        self.seed = seed
        self.tables: dict[str, Table] = engine.tables
        self.deleted: dict[str, list[int]] = {name: [] for name in TABLE_NAMES}
        self._engine = engine
        self._start = start
        pipelines = build_pipelines(start, end)
        write_dictionaries(engine, pipelines, end)
        names = Names(engine, deals // 2)
        staff = Staff(engine, names, start, end)
        fields = CustomFields(engine, names, staff)
        channels = Channels(engine)
        book = AddressBook(engine, names, fields)
        talk = Communication(engine, staff)
        tasks = TaskBoard(engine, staff, talk)
        desk = DealDesk(engine, names, pipelines, staff, fields, book, talk, tasks)
        leads = LeadDesk(engine, names, staff, channels, fields, book, talk, desk)
        self._planner = Planner(engine, staff, channels, book, leads, desk, tasks)
        self._shredder = Shredder(engine, desk, self.deleted)
        self._planner.set_out(deals, start, end)
        with _without_collector():
            engine.run_until(end)
        EverydayChanges(engine, book, leads, desk, talk, tasks).begin()

    @classmethod
    def generate(cls, seed: int, deals: int, now: datetime) -> World:
        """Build a company whose 24 months in the portal end at `now`; the same arguments give the same rows.

        Args:
            seed: any integer.
            deals: how many deals there are at `now`; everything else scales with it.
            now: the portal's clock, with a zone; fractions of a second are dropped.
        """
        return cls(seed, deals, now)

    @property
    def now(self) -> datetime:
        """Return the portal's clock, in its zone."""
        return datetime.fromtimestamp(self._engine.now, PORTAL_TZ)

    def advance(self, days: int, deletions: bool = False) -> None:
        """Let days pass: rows arrive and change, with larger ids and later times; with `deletions` some go.

        Two calls of one day each give what one call of two days gives, deletions apart.
        """
        if days < 1:
            raise ValueError("days must be at least 1")
        for _ in range(days):
            tomorrow = self._engine.now + DAY_S
            self._planner.keep_ahead(tomorrow)
            self._engine.run_until(tomorrow)
        if deletions:
            self._shredder.run()

    def truth(self) -> dict[str, Any]:
        """Return everything, JSON-able: `meta`, a list of rows per table, and `deleted` ids per table."""
        meta = {
            "now": self.now.isoformat(),
            "utc_offset": "+03:00",
            "base_currency": BASE_CURRENCY,
            "seed": self.seed,
        }
        rows = {name: [dict(row) for row in table.rows.values()] for name, table in self.tables.items()}
        return {"meta": meta, **rows, "deleted": {name: list(ids) for name, ids in self.deleted.items()}}

    def write_inputs(self, folder: Path) -> None:
        """Write ad_spend.csv and sales_plan.csv that fit the data into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        leads_per_weight = self._planner.deal_stream.rate * LEADS_PER_DEAL
        write_ad_spend(self._engine, folder / "ad_spend.csv", self._start, leads_per_weight)
        write_sales_plan(self._engine, folder / "sales_plan.csv")
