"""What every later day is sure to bring, and deletions.

New rows and moves come from the engine's queue by themselves; a small company may have a day on which
nobody reopens a deal. For a rehearsal each kind of change has to happen on each day, so here it does.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from demo.world.clients import AddressBook
from demo.world.clock import DAY_S, HOUR_S
from demo.world.communication import DEAL, LEAD, Communication
from demo.world.deals import Deal, DealDesk
from demo.world.engine import Engine
from demo.world.invoices import OWNER as INVOICE
from demo.world.item_rows import ItemRows
from demo.world.leads import LeadDesk
from demo.world.model import Row
from demo.world.processes import TYPES
from demo.world.quotes import OWNER as QUOTE
from demo.world.requisites import Requisites
from demo.world.task_history import TaskHistory
from demo.world.tasks import TaskBoard

RECENT_DEALS = 400
# share of living rows that one call deletes, and the least number of them
DELETED_SHARE = 0.002
LEAST_DELETED = {"deals": 3, "leads": 3, "contacts": 2, "companies": 1, "activities": 3, "tasks": 2}
HISTORY = {"deals": "deal_stage_history", "leads": "lead_stage_history"}
OWNER_TYPES = {"deals": str(DEAL), "leads": str(LEAD)}
# further tables: the least number of deleted rows, the short code under which product rows know the owner, the history
LATER_DELETED: dict[str, tuple[int, str, str]] = {
    "quotes": (2, QUOTE, ""),
    "smart_invoices": (2, INVOICE, "smart_invoice_stage_history"),
    **{kind.items: (1, kind.owner, kind.history if kind.stages else "") for kind in TYPES},
}


class Desk(Protocol):
    """A part of the world in which something has to happen on every day."""

    def one_day(self) -> None:
        """Change old rows in every way."""


class OtherChanges:
    """Lets each further part of the world change something on each day; these draw from streams of their own."""

    def __init__(self, engine: Engine, desks: Collection[Desk]) -> None:
        """Take the parts in a fixed order."""
        self._engine = engine
        self._desks = desks

    def begin(self) -> None:
        """Start the chain of days, some hours from now."""
        self._engine.after(5 * HOUR_S, self._one_day)

    def _one_day(self) -> None:
        for desk in self._desks:
            desk.one_day()
        self._engine.after(DAY_S, self._one_day)


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


@dataclass(frozen=True)
class Removed:
    """A row in the recycle bin, with the product rows that went with it."""

    row: Row
    product_rows: list[Row]


class Shredder:
    """Deletes rows with everything that the portal deletes with them.

    Attributes:
        bin: deleted deals and contacts by id, from which they can be restored.
    """

    def __init__(
        self,
        engine: Engine,
        deals: DealDesk,
        rows: ItemRows,
        requisites: Requisites,
        task_history: TaskHistory,
        deleted: dict[str, list[int]],
    ) -> None:
        """Take the lists into which ids of deleted rows are written."""
        self._engine = engine
        self._deals = deals
        self._rows = rows
        self._requisites = requisites
        self._task_history = task_history
        self._deleted = deleted
        self.bin: dict[str, dict[int, Removed]] = {"deals": {}, "contacts": {}}

    def run(self) -> None:
        """Delete a few rows of each entity, chosen by the seed and the day."""
        rng = random.Random(f"{self._engine.seed}/{self._engine.now}")
        for table, least in LEAST_DELETED.items():
            living = list(self._engine.tables[table].rows)
            if table == "companies":
                living = [row_id for row_id in living if not self._is_own_company(row_id)]
            count = min(max(least, round(len(living) * DELETED_SHARE)), len(living))
            for row_id in sorted(rng.sample(living, count)):
                self.delete(table, row_id)
        self._delete_later_tables(random.Random(f"{self._engine.seed}/{self._engine.now}/later"))

    def _delete_later_tables(self, rng: random.Random) -> None:
        """Delete a few quotes, invoices and items of processes with what belongs to them."""
        for table, (least, owner, history) in LATER_DELETED.items():
            living = list(self._engine.tables[table].rows)
            count = min(max(least, round(len(living) * DELETED_SHARE)), len(living))
            for row_id in sorted(rng.sample(living, count)):
                self._remove(table, row_id)
                self._deleted["product_rows"].extend(self._rows.forget((owner, row_id)))
                if history:
                    self._remove_where(history, "OWNER_ID", row_id)
        self._deleted["task_history"].extend(self._task_history.forget(set(self._deleted["tasks"])))

    def _is_own_company(self, row_id: int) -> bool:
        return bool(self._engine.tables["companies"].rows[row_id]["IS_MY_COMPANY"] == "Y")

    def delete(self, table: str, row_id: int, *, to_bin: bool = True) -> None:
        """Delete one row with what belongs to it; `to_bin` keeps what a restore needs."""
        if not self._engine.exists(table, row_id):
            return  # it went with its owner a moment ago
        product_rows = list(self._deals.products.of_deal(row_id)) if table == "deals" else []
        row = self._remove(table, row_id)
        if to_bin and table in self.bin:
            self.bin[table][row_id] = Removed(row, product_rows)
        if table in HISTORY:
            self._remove_where(HISTORY[table], "OWNER_ID", row_id)
            self._remove_own_activities(OWNER_TYPES[table], str(row_id))
        if table == "deals":
            self._deleted["deal_product_rows"].extend(self._deals.products.forget(row_id))
        if table == "leads":
            self._deleted["product_rows"].extend(self._rows.forget(("L", row_id)))
        if table in ("contacts", "companies"):
            self._deleted["requisites"].extend(self._requisites.forget(table, row_id))
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
