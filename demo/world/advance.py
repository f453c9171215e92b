"""What every later day is sure to bring, and deletions.

New rows and moves come from the engine's queue by themselves; a small company may have a day on which
nobody reopens a deal. For a rehearsal each kind of change has to happen on each day, so here it does.
"""

from __future__ import annotations

import random
from functools import partial

from demo.world.clients import AddressBook
from demo.world.clock import DAY_S, HOUR_S
from demo.world.communication import DEAL, LEAD, Communication
from demo.world.deals import Deal, DealDesk
from demo.world.engine import Engine
from demo.world.leads import LeadDesk
from demo.world.model import Row
from demo.world.tasks import TaskBoard

RECENT_DEALS = 400
# share of living rows that one call deletes, and the least number of them
DELETED_SHARE = 0.002
LEAST_DELETED = {"deals": 3, "leads": 3, "contacts": 2, "companies": 1, "activities": 3, "tasks": 2}
HISTORY = {"deals": "deal_stage_history", "leads": "lead_stage_history"}
OWNER_TYPES = {"deals": str(DEAL), "leads": str(LEAD)}


class EverydayChanges:
    """Makes sure that each day after the first moment changes old rows in every way."""

    def __init__(
        self, engine: Engine, book: AddressBook, leads: LeadDesk, deals: DealDesk, talk: Communication, tasks: TaskBoard
    ) -> None:
        """Take the desks whose rows change."""
        self._engine = engine
        self._book = book
        self._leads = leads
        self._deals = deals
        self._talk = talk
        self._tasks = tasks

    def begin(self) -> None:
        """Start the chain of days, a few hours from now."""
        self._engine.after(3 * HOUR_S, self._one_day)

    def _one_day(self) -> None:
        engine = self._engine
        closed = self._recent(is_closed=True)
        opened = self._recent(is_closed=False)
        with_rows = [deal for deal in opened if self._deals.products.has_rows(deal.id)]
        for deals, change in (
            (closed, self._deals.reopen),
            (opened, self._deals.win),
            (opened, self._deals.step_back),
            (opened, self._deals.reassign),
            (opened, self._deals.change_field),
            (opened, self._deals.give_task),
            (with_rows, self._deals.change_amount),
        ):
            if deals:
                engine.after(engine.rng.randint(0, 6 * HOUR_S), partial(change, engine.pick(deals)))
        self._edit_others()
        engine.after(DAY_S, self._one_day)

    def _edit_others(self) -> None:
        engine = self._engine
        for table in ("contacts", "companies"):
            row_id = engine.pick(list(engine.tables[table].rows))
            engine.after(engine.rng.randint(0, 6 * HOUR_S), partial(self._book.edit, table, row_id))
        lead_id = self._leads.any_lead()
        if lead_id is not None:
            engine.after(HOUR_S, partial(self._leads.edit, lead_id))
        engine.after(2 * HOUR_S, self._talk.vote_late)
        engine.after(2 * HOUR_S, self._talk.complete_one)
        engine.after(2 * HOUR_S, self._tasks.finish_one)

    def _recent(self, *, is_closed: bool) -> list[Deal]:
        """Return living deals of the last ids that are, or are not, closed."""
        last = list(self._engine.tables["deals"].rows)[-RECENT_DEALS:]
        # a row that somebody else put into the table is nobody's deal here
        deals = (self._deals.deals[deal_id] for deal_id in last if deal_id in self._deals.deals)
        return [deal for deal in deals if deal.is_closed == is_closed and not deal.stalled and not deal.silent]


class Shredder:
    """Deletes rows with everything that the portal deletes with them."""

    def __init__(self, engine: Engine, deals: DealDesk, deleted: dict[str, list[int]]) -> None:
        """Take the lists into which ids of deleted rows are written."""
        self._engine = engine
        self._deals = deals
        self._deleted = deleted

    def run(self) -> None:
        """Delete a few rows of each entity, chosen by the seed and the day."""
        rng = random.Random(f"{self._engine.seed}/{self._engine.now}")
        for table, least in LEAST_DELETED.items():
            living = list(self._engine.tables[table].rows)
            if table == "companies":
                living = [row_id for row_id in living if not self._is_own_company(row_id)]
            count = min(max(least, round(len(living) * DELETED_SHARE)), len(living))
            for row_id in sorted(rng.sample(living, count)):
                self._delete(table, row_id)

    def _is_own_company(self, row_id: int) -> bool:
        return bool(self._engine.tables["companies"].rows[row_id]["IS_MY_COMPANY"] == "Y")

    def _delete(self, table: str, row_id: int) -> None:
        if not self._engine.exists(table, row_id):
            return  # it went with its owner a moment ago
        self._remove(table, row_id)
        if table in HISTORY:
            self._remove_where(HISTORY[table], "OWNER_ID", row_id)
            self._remove_own_activities(OWNER_TYPES[table], str(row_id))
        if table == "deals":
            self._deleted["deal_product_rows"].extend(self._deals.products.forget(row_id))
        if table == "tasks":
            self._remove_where("time_entries", "TASK_ID", str(row_id))

    def _remove(self, table: str, row_id: int) -> Row:
        self._deleted[table].append(row_id)
        return self._engine.tables[table].rows.pop(row_id)

    def _remove_where(self, table: str, key: str, value: int | str) -> None:
        rows = self._engine.tables[table].rows
        for row_id in [row_id for row_id, row in rows.items() if row[key] == value]:
            self._remove(table, row_id)

    def _remove_own_activities(self, owner_type: str, owner_id: str) -> None:
        """Delete the activities that a row owned and that nothing else is bound to."""
        rows = self._engine.tables["activities"].rows
        own = [
            row_id
            for row_id, row in rows.items()
            if row["OWNER_TYPE_ID"] == owner_type and row["OWNER_ID"] == owner_id and len(row["BINDINGS"]) == 1
        ]
        for row_id in own:
            self._remove("activities", row_id)
