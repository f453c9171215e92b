"""The world: everything built in order, a clock, and the questions that others ask."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from demo.world.advance import EverydayChanges, OtherChanges, Shredder
from demo.world.bank import bank_rates
from demo.world.catalogue import Catalogue
from demo.world.channels import Channels
from demo.world.clients import AddressBook
from demo.world.clock import DAY_S, date_of, local_day
from demo.world.communication import Communication
from demo.world.deals import DealDesk
from demo.world.drift import FieldDrift
from demo.world.engine import Engine
from demo.world.fields import CustomFields
from demo.world.inputs import write_ad_spend, write_sales_plan
from demo.world.inputs_small import write_small_inputs
from demo.world.invoices import InvoiceDesk
from demo.world.item_fields import ItemFields
from demo.world.item_rows import ItemRows
from demo.world.leads import LeadDesk
from demo.world.links import CONTACT_COMPANIES, DEAL_CONTACTS, Links, all_links
from demo.world.meetings import Calendars, occurrences
from demo.world.merges import Identities
from demo.world.model import KEPT_APART, PORTAL_TZ, TABLE_NAMES, Row, Table
from demo.world.names import Names
from demo.world.openlines import OpenLines
from demo.world.planner import LEADS_PER_DEAL, Planner
from demo.world.portal_setup import BASE_CURRENCY, build_pipelines, write_dictionaries
from demo.world.processes import TYPES, ProcessDesk
from demo.world.quotes import QuoteDesk
from demo.world.requisites import Requisites
from demo.world.staff import Staff
from demo.world.staged_items import ItemHistory
from demo.world.task_history import TaskHistory
from demo.world.tasks import TaskBoard
from demo.world.work_time import WorkTime
from demo.world.workgroups import Workgroups

HISTORY_DAYS = 730
BANK_BEFORE = timedelta(days=60)


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
        for kind in TYPES:
            self.deleted |= {kind.items: [], **({kind.history: []} if kind.stages else {})}
        self._engine = engine
        self._start = start
        pipelines = build_pipelines(start, end)
        write_dictionaries(engine, pipelines, end)
        names = Names(engine, deals // 2)
        staff = Staff(engine, names, start, end)
        fields = CustomFields(engine, names, staff)
        channels = Channels(engine)
        # these only listen: whatever they draw, they draw from streams of their own
        item_fields, rows, history = ItemFields(engine), ItemRows(engine), ItemHistory(engine)
        task_history, requisites = TaskHistory(engine), Requisites(engine, names)
        groups, links, catalogue = Workgroups(engine, staff, start), Links(engine), Catalogue(engine, start)
        calendars, work_time = Calendars(engine, staff, end), WorkTime(engine, end)
        OpenLines(engine)
        book = AddressBook(engine, names, fields)
        talk = Communication(engine, staff)
        tasks = TaskBoard(engine, staff, talk)
        desk = DealDesk(engine, names, pipelines, staff, fields, book, talk, tasks)
        leads = LeadDesk(engine, names, staff, channels, fields, book, talk, desk)
        self._planner = Planner(engine, staff, channels, book, leads, desk, tasks)
        own = book.own_company_ids
        quotes = QuoteDesk(engine, desk.products, rows, item_fields, own)
        invoices = InvoiceDesk(engine, history, desk.products, rows, item_fields, own)
        processes = ProcessDesk(engine, history, staff, desk.products, rows, item_fields)
        self._shredder = Shredder(engine, desk, rows, requisites, task_history, self.deleted)
        self._drift = FieldDrift(engine, fields)
        self._identities = Identities(engine, desk, leads, self._shredder)
        self._planner.set_out(deals, start, end)
        with _without_collector():
            engine.run_until(end)
        EverydayChanges(engine, book, leads, desk, talk, tasks).begin()
        desks = (quotes, invoices, processes, catalogue, links, requisites, groups, calendars, work_time)
        OtherChanges(engine, desks).begin()

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

    def advance(
        self, days: int, deletions: bool = False, *, merges: bool = False, restores: bool = False, silent: bool = False
    ) -> None:
        """Let days pass: rows arrive and change, with larger ids and later times.

        Two calls of one day each give what one call of two days gives, what happens at the end of a call apart.

        Args:
            days: at least 1.
            deletions: at the end some rows go.
            merges: duplicates become one row. silent: rows that named a duplicate are not marked as modified.
            restores: deleted deals and contacts come back under new ids.
        """
        if days < 1:
            raise ValueError("days must be at least 1")
        for _ in range(days):
            tomorrow = self._engine.now + DAY_S
            self._planner.keep_ahead(tomorrow)
            self._engine.run_until(tomorrow)
        if deletions:
            self._shredder.run()
        if merges:
            self._identities.merge_some(silent=silent)
        if restores:
            self._identities.restore_some()

    def merge(self, table: str, ids: Sequence[int], *, silent: bool = False) -> None:
        """Merge duplicates now; see `Identities.merge`."""
        self._identities.merge(table, ids, silent=silent)

    def change_custom_field(self, operation: str, entity: str, field_name: str, **details: Any) -> Row:
        """Add, rename, retype or remove a custom field, or change its options; see `FieldDrift.apply`."""
        return self._drift.apply(operation, entity, field_name, **details)

    def restore(self, table: str, row_id: int) -> int:
        """Restore a deleted deal or contact now and return its new id; see `Identities.restore`."""
        return self._identities.restore(table, row_id)

    def truth(self) -> dict[str, Any]:
        """Return everything, JSON-able: `meta`, a list of rows per table, and `deleted` ids per table.

        `merged` has pairs of survivor and duplicate per table, `restored` pairs of old and new id; a duplicate is
        among the deleted too.

        Items of smart processes lie in one list, and their history in another, each row with its `entityTypeId`; their
        deletions are pairs of type and id. Events of calendars are written out, one row per occurrence. `cbr_rates` are
        those of the bank, see `bank_rates`.
        """
        meta = {
            "now": self.now.isoformat(),
            "utc_offset": "+03:00",
            "base_currency": BASE_CURRENCY,
            "seed": self.seed,
        }
        rows = {name: [dict(row) for row in table.rows.values()] for name, table in self.tables.items()}
        deleted: dict[str, list[Any]] = {name: list(ids) for name, ids in self.deleted.items()}
        for together in ("process_items", "process_stage_history"):
            rows[together], deleted[together] = [], []
            for kind in TYPES:
                apart = f"{together}_{kind.type_id}"
                rows[together] += [{"entityTypeId": kind.type_id, **row} for row in rows.pop(apart, [])]
                deleted[together] += [[kind.type_id, row_id] for row_id in deleted.pop(apart, [])]
        for apart, together in KEPT_APART.items():
            rows[together] += rows.pop(apart)
        for links in (DEAL_CONTACTS, CONTACT_COMPANIES):
            rows[links.table] = list(all_links(links, self._rows(links.owners), self._rows(links.table)))
        # a lead that somebody else took out of its table takes its product rows along
        leads = self.tables["leads"].rows
        rows["product_rows"] = [
            row for row in rows["product_rows"] if row["ownerType"] != "L" or row["ownerId"] in leads
        ]
        rows["calendar_events"] = [day for event in self._rows("calendar_events") for day in occurrences(event)]
        known = {"merged": self._identities.merged, "restored": self._identities.restored}
        pairs = {
            name: {table: [list(pair) for pair in found] for table, found in tables.items()}
            for name, tables in known.items()
        }
        return {"meta": meta, **rows, "deleted": deleted, **pairs, "cbr_rates": self.bank_rates()}

    def bank_rates(self) -> list[Row]:
        """Return the bank's rates from before the first deal to tomorrow: `date`, `char_code`, `nominal`, `value`.

        `value` roubles, with a decimal comma, are paid for `nominal` units from `date` on until the next rate.
        """
        first, today = (date_of(local_day(moment)) for moment in (self._start, self._engine.now))
        return bank_rates(self.seed, first - BANK_BEFORE, today + timedelta(days=1))

    def _rows(self, table: str) -> Iterable[Row]:
        return self.tables[table].rows.values()

    def write_inputs(self, folder: Path) -> None:
        """Write ad_spend.csv, sales_plan.csv and the smaller files that fit the data into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        leads_per_weight = self._planner.deal_stream.rate * LEADS_PER_DEAL
        write_ad_spend(self._engine, folder / "ad_spend.csv", self._start, leads_per_weight)
        write_sales_plan(self._engine, folder / "sales_plan.csv")
        write_small_inputs(self._engine, folder, self._start, leads_per_weight)
