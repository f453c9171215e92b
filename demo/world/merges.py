"""Changes of identity: duplicates that are merged into one row, and deleted rows that come back under another id.

The portal keeps no pointer for either: a reader sees ids go, ids come, and references that name another row.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from demo.world.advance import Shredder
from demo.world.clients import Client
from demo.world.clock import portal_stamp
from demo.world.communication import COMPANY, CONTACT, DEAL, LEAD
from demo.world.deals import DealDesk
from demo.world.engine import Engine
from demo.world.leads import LeadDesk
from demo.world.model import Row
from demo.world.processes import TYPES

Pairs = dict[str, list[tuple[int, int]]]

MERGED = {"contacts": 2, "companies": 1, "deals": 1, "leads": 1}  # pairs in one call
RESTORED = {"deals": 2, "contacts": 1}
OWNER_TYPES = {"leads": LEAD, "deals": DEAL, "contacts": CONTACT, "companies": COMPANY}
TASK_LINKS = {"leads": "L", "deals": "D", "contacts": "C", "companies": "CO"}
# columns that name a row: entity -> (table, column)
REFERENCES: dict[str, tuple[tuple[str, str], ...]] = {
    "contacts": (
        *((table, "CONTACT_ID") for table in ("deals", "leads", "quotes", "deal_contacts", "contact_companies")),
        *((table, "contactId") for table in ("smart_invoices", *(kind.items for kind in TYPES))),
    ),
    "companies": (
        *((table, "COMPANY_ID") for table in ("deals", "leads", "contacts", "quotes", "contact_companies")),
        *((table, "companyId") for table in ("smart_invoices", *(kind.items for kind in TYPES))),
    ),
    "leads": tuple((table, "LEAD_ID") for table in ("deals", "contacts", "companies", "quotes")),
    "deals": (
        ("quotes", "DEAL_ID"),
        ("deal_contacts", "DEAL_ID"),
        *((table, "parentId2") for table in ("smart_invoices", *(kind.items for kind in TYPES))),
    ),
}
LINK_TABLES = ("deal_contacts", "contact_companies")
MODIFIED = ("DATE_MODIFY", "updatedTime", "LAST_UPDATED", "changedDate")
# what a survivor never takes over from a duplicate
OWN = frozenset({"ID", "DATE_CREATE", "DATE_MODIFY", "CREATED_BY_ID", "MODIFY_BY_ID", "MOVED_BY_ID", "MOVED_TIME"})
Choice = Callable[[], bool]


class Identities:
    """Merges and restores rows, and remembers which became which.

    Attributes:
        merged: (survivor, duplicate) per table. restored: (old id, new id) per table.
    """

    def __init__(self, engine: Engine, deals: DealDesk, leads: LeadDesk, shredder: Shredder) -> None:
        """Take the desks whose rows change."""
        self._engine = engine
        self._deals = deals
        self._leads = leads
        self._shredder = shredder
        self.merged: Pairs = {table: [] for table in MERGED}
        self.restored: Pairs = {table: [] for table in RESTORED}

    def merge_some(self, *, silent: bool = False) -> None:
        """Merge a few rows of each entity, chosen by the seed and the day; `silent` as in `merge`."""
        rng = random.Random(f"{self._engine.seed}/{self._engine.now}/merges")
        for table, pairs in MERGED.items():
            rows = self._engine.tables[table].rows
            for _ in range(pairs):
                living = [row_id for row_id, row in rows.items() if row.get("IS_MY_COMPANY") != "Y"]
                if len(living) > 1:
                    self.merge(table, sorted(rng.sample(living, 2)), silent=silent)

    def restore_some(self) -> None:
        """Restore a few rows from the recycle bin, which gets some first if it is empty."""
        rng = random.Random(f"{self._engine.seed}/{self._engine.now}/restores")
        for table, count in RESTORED.items():
            if not self._restorable(table):
                living = [row_id for row_id in self._engine.tables[table].rows if self._is_whole(table, row_id)]
                for row_id in rng.sample(living, min(count, len(living))):
                    self._shredder.delete(table, row_id)
            known = self._restorable(table)
            for row_id in rng.sample(known, min(count, len(known))):
                self.restore(table, row_id)

    def merge(self, table: str, ids: Sequence[int], *, silent: bool = False) -> None:
        """Merge duplicates: the first id survives, the others are deleted and their relations move.

        Args:
            table: leads, deals, contacts or companies.
            ids: the survivor and its duplicates.
            silent: rows that named a duplicate are not marked as modified.
        Raises:
            ValueError: another table, or a row that is not there.
        """
        rows = self._engine.tables[table].rows if table in MERGED else {}
        if len(set(ids)) < 2 or not set(ids) <= rows.keys():
            raise ValueError(f"{table} has no such rows to merge: {', '.join(map(str, ids))}")
        survivor_id, *others = ids
        survivor = rows[survivor_id]
        for other_id in others:
            for key, value in rows[other_id].items():
                if key in ("PHONE", "EMAIL"):
                    survivor[key] = [*survivor.get(key, []), *value]
                elif key not in OWN and value and survivor.get(key) in (None, ""):
                    survivor[key] = value
            self._rebind(table, other_id, survivor_id, touch=not silent)
            self._shredder.delete(table, other_id, to_bin=False)
            self.merged[table].append((survivor_id, other_id))
        self._engine.touch(survivor, survivor["ASSIGNED_BY_ID"] or "1")

    def restore(self, table: str, row_id: int) -> int:
        """Create a deleted row anew and return its id: half of what named it is bound to it again, the rest is lost.

        Raises:
            ValueError: the recycle bin has no such row.
        """
        if row_id not in self._restorable(table):
            raise ValueError(f"the recycle bin has no row {row_id} of {table}")
        removed = self._shredder.bin[table].pop(row_id)
        row = {**removed.row, "DATE_MODIFY": portal_stamp(self._engine.now)}
        if table == "deals":
            new_id = self._deals.restore(row_id, row, removed.product_rows)
        else:
            new_id = self._engine.add(table, row, gaps=False)
        rng = random.Random(f"{self._engine.seed}/{table}/{row_id}")
        self._rebind(table, row_id, new_id, choose=lambda: rng.random() < 0.5)
        self.restored[table].append((row_id, new_id))
        return new_id

    def _restorable(self, table: str) -> list[int]:
        return [row_id for row_id in self._shredder.bin.get(table, ()) if self._is_whole(table, row_id)]

    def _is_whole(self, table: str, row_id: int) -> bool:
        # a deal that somebody else put into the table is unknown to the desk
        return table != "deals" or row_id in self._deals.deals

    def _rebind(
        self, table: str, old_id: int, new_id: int, *, touch: bool = True, choose: Choice = lambda: True
    ) -> None:
        """Let everything that names a row name another one."""
        for row in self._naming(table, old_id, new_id, choose):
            for key in MODIFIED:
                if touch and key in row:
                    row[key] = portal_stamp(self._engine.now)
        if table in ("contacts", "companies"):
            self._rebind_clients(table, old_id, new_id)

    def _naming(self, table: str, old_id: int, new_id: int, choose: Choice) -> Iterator[Row]:
        """Yield the rows that named the old id, changed."""
        for other, key in REFERENCES[table]:
            rows = self._engine.tables[other].rows
            for row in [row for row in rows.values() if row.get(key) in (old_id, str(old_id))]:
                if choose():
                    row[key] = type(row[key])(new_id)
                    if key == "contactId":
                        row["contactIds"] = [new_id if one == old_id else one for one in row["contactIds"]]
                    yield row
        self._drop_double_links()
        owner = (str(OWNER_TYPES[table]), str(old_id))
        for row in self._engine.tables["activities"].rows.values():
            if any((one["OWNER_TYPE_ID"], one["OWNER_ID"]) == owner for one in row["BINDINGS"]) and choose():
                row["BINDINGS"] = _bound_anew(row["BINDINGS"], owner, str(new_id))
                if (row["OWNER_TYPE_ID"], row["OWNER_ID"]) == owner:
                    row["OWNER_ID"] = str(new_id)
                yield row
        old, new = (f"{TASK_LINKS[table]}_{row_id}" for row_id in (old_id, new_id))
        for row in self._engine.tables["tasks"].rows.values():
            if old in (row["ufCrmTask"] or ()) and choose():
                row["ufCrmTask"] = list(dict.fromkeys(new if link == old else link for link in row["ufCrmTask"]))
                yield row
        for row in self._engine.tables["requisites"].rows.values():
            if (row["ENTITY_TYPE_ID"], row["ENTITY_ID"]) == owner and choose():
                row["ENTITY_ID"] = str(new_id)
                yield row

    def _drop_double_links(self) -> None:
        for table in LINK_TABLES:
            rows = self._engine.tables[table].rows
            seen: set[tuple[int, ...]] = set()
            for number, row in list(rows.items()):
                link = tuple(row.values())
                if link in seen:
                    del rows[number]
                seen.add(link)

    def _rebind_clients(self, table: str, old_id: int, new_id: int) -> None:
        """Let later deals of the same client name the new id."""
        for client in self._clients():
            if table == "companies" and client.company_id == old_id:
                client.company_id = new_id
            elif table == "contacts" and old_id in client.contact_ids:
                client.contact_ids = list(dict.fromkeys(new_id if one == old_id else one for one in client.contact_ids))

    def _clients(self) -> Iterator[Client]:
        for deal in self._deals.deals.values():
            if deal.client is not None:
                yield deal.client
        yield from self._leads.clients()


def _bound_anew(bindings: Sequence[Row], owner: tuple[str, str], new_id: str) -> list[Row]:
    """Return bindings with another id for an owner, none of them twice."""
    changed = [
        {**one, "OWNER_ID": new_id} if (one["OWNER_TYPE_ID"], one["OWNER_ID"]) == owner else one for one in bindings
    ]
    return list({(one["OWNER_TYPE_ID"], one["OWNER_ID"]): one for one in changed}.values())
