"""Indexes over the world's tables, so that a page costs its rows and not its table."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Protocol
from zlib import crc32

import orjson

from demo.server.fields import Entity, Field
from demo.server.filters import RANGES, Clause, Condition, Row, sort_key
from demo.server.packing import KeepingPacker, Packer
from demo.server.parameters import to_int
from demo.server.rendering import Render

Order = tuple[tuple[Field, bool], ...]  # (field, descending)

_SCANS_KEPT = 64
_OWNER_KEYS = ("ownerId", "TASK_ID", "OWNER_ID", "taskId", "userId", "orderId")


class ReadTable(Protocol):
    """Rows by integer id, to be read."""

    @property
    def rows(self) -> Mapping[int, Row]:
        """All rows."""


# tables whose rows rights hide, and those whose rows go with their owner
CUT_TABLES = frozenset(
    {"leads", "deals", "contacts", "companies", "quotes", "smart_invoices", "activities", "tasks", "calls"}
)
CUT_WITH_OWNER = {
    "deal_stage_history": "deals",
    "lead_stage_history": "leads",
    "smart_invoice_stage_history": "smart_invoices",
}
_CUT_STEPS = 10_000


def _cut_step(table: str, row_id: int) -> int:
    return crc32(f"{table}/{row_id}".encode()) % _CUT_STEPS


class RowTable(Protocol):
    """Rows by integer id."""

    rows: dict[int, Row]

    def add(self, row: Row, *, step: int = 1) -> int:
        """Store a row under the next id and return the id."""


class Tables(Protocol):
    """Whatever holds the tables by name."""

    @property
    def tables(self) -> Mapping[str, RowTable]:
        """Tables by the names of the raw schema."""


@dataclass(frozen=True)
class Matches:
    """Ids that fit a filter, in the order asked for: a window of a sorted list, maybe read backwards."""

    ids: Sequence[int]
    low: int
    high: int
    backwards: bool = False

    def __len__(self) -> int:
        return self.high - self.low

    def take(self, offset: int, count: int) -> Sequence[int]:
        """Return up to `count` ids from `offset` on."""
        if self.backwards:
            end = max(self.high - offset, self.low)
            return self.ids[max(end - count, self.low) : end][::-1]
        start = min(self.low + offset, self.high)
        return self.ids[start : min(start + count, self.high)]


NO_MATCHES = Matches((), 0, 0)


class TableIndex:
    """Sorted ids of one table, ids by owner, and the results of recent scans; all forgotten when rows change."""

    def __init__(self, table: ReadTable, zone: tzinfo) -> None:
        self.table = table
        self.hidden: Callable[[int], bool] | None = None  # rows that the caller has no right to see
        self._zone = zone
        self.forget()

    def forget(self) -> None:
        """Drop everything derived from the rows."""
        self._ids: Sequence[int] | None = None
        self._owners: dict[str, dict[int, list[int]]] = {}
        self._scans: OrderedDict[object, Sequence[int]] = OrderedDict()

    @property
    def ids(self) -> Sequence[int]:
        """All ids, ascending."""
        if self._ids is None:
            self._ids = self._visible(sorted(self.table.rows))
        return self._ids

    def _visible(self, ids: Sequence[int]) -> Sequence[int]:
        hidden = self.hidden
        return [row_id for row_id in ids if not hidden(row_id)] if hidden else ids

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """Return the rows of these ids."""
        rows = self.table.rows
        return [rows[row_id] for row_id in ids]

    def packer(self, render: Render) -> Packer:
        """Return what encodes rows of this table, shown by `render`."""
        return KeepingPacker(lambda ids: [orjson.dumps(row) for row in render(self.rows(ids))])

    def matching(self, entity: Entity, clauses: Sequence[Clause], order: Order) -> Matches:
        """Return the ids of the rows that fit every clause, in this order.

        A scan is remembered without its bounds on the id: the pages of one keyset walk share one scan.
        """
        if not (entity.keyed and order and order[0][0].key == entity.id_key):
            found = self._scan(entity, tuple(clauses), order)
            return Matches(found, 0, len(found))
        bounds = [
            clause
            for clause in clauses
            if isinstance(clause, Condition) and _is_id(clause, entity) and clause.comparison in RANGES
        ]
        found = self._scan(entity, tuple(clause for clause in clauses if clause not in bounds), ())
        low, high = 0, len(found)
        for bound in bounds:
            low, high = narrow(found, bound, low, high)
        return Matches(found, low, max(low, high), backwards=order[0][1])

    def _scan(self, entity: Entity, clauses: tuple[Clause, ...], order: Order) -> Sequence[int]:
        if not clauses and not order:
            return self.ids
        key = (entity.table, clauses, order)
        if (found := self._scans.get(key)) is not None:
            self._scans.move_to_end(key)
            return found
        tests = [clause.predicate(self._zone) for clause in clauses]
        rows = self.table.rows
        found = [row_id for row_id in self._candidates(entity, clauses) if all(test(rows[row_id]) for test in tests)]
        for field, descending in reversed(order):
            of_row = sort_key(field, self._zone)
            found.sort(key=lambda row_id, of_row=of_row: of_row(rows[row_id]), reverse=descending)  # type: ignore[misc]
        self._scans[key] = found
        if len(self._scans) > _SCANS_KEPT:
            self._scans.popitem(last=False)
        return found

    def _candidates(self, entity: Entity, clauses: Sequence[Clause]) -> Sequence[int]:
        for clause in clauses:
            if not isinstance(clause, Condition) or clause.comparison != "in" or clause.negated:
                continue
            if _is_id(clause, entity):
                return self._visible(sorted(set(clause.values) & self.table.rows.keys()))
            if clause.field.key in _OWNER_KEYS:
                owned = self._by_owner(clause.field.key)
                return sorted(row_id for value in set(clause.values) for row_id in owned.get(value, ()))
        return self.ids

    def _by_owner(self, key: str) -> Mapping[int, list[int]]:
        owned = self._owners.get(key)
        if owned is None:
            owned = self._owners[key] = {}
            for row_id in self.ids:
                owned.setdefault(to_int(self.table.rows[row_id].get(key)), []).append(row_id)
        return owned


def narrow(
    ids: Sequence[int], bound: Condition, low: int, high: int, key: Callable[[int], float] | None = None
) -> tuple[int, int]:
    """Return the part of a window of sorted ids that fits a range; `key` grows with the id and is what is compared."""
    value: Any = bound.values[0]
    if value is None or value != value:
        return low, low  # nothing orders with an empty or an unreadable date
    match bound.comparison:
        case "gt":
            low = max(low, bisect_right(ids, value, key=key))
        case "ge":
            low = max(low, bisect_left(ids, value, key=key))
        case "lt":
            high = min(high, bisect_left(ids, value, key=key))
        case "le":
            high = min(high, bisect_right(ids, value, key=key))
    return low, high


def _is_id(clause: Condition, entity: Entity) -> bool:
    return entity.keyed and clause.field.key == entity.id_key


class _Nothing:
    """A table that the world lacks."""

    rows: Mapping[int, Row] = {}


class Store:
    """The indexes of all tables; `changes` counts the times that rows were said to have changed.

    Args:
        world: holds the tables.
        zone: of dates without an offset.
        special: indexes of tables that the world does not hold, by name; they stay for good.
    """

    def __init__(self, world: Tables, zone: tzinfo, special: Mapping[str, TableIndex] | None = None) -> None:
        self.zone = zone
        self._world = world
        self._special = special or {}
        self._indexes: dict[str, TableIndex] = {}
        self._cut = 0.0
        self.changes = 0

    def __getitem__(self, name: str) -> TableIndex:
        index = self._indexes.get(name)
        if index is None:
            index = self._special.get(name) or TableIndex(self._world.tables.get(name) or _Nothing(), self.zone)
            index.hidden = self._hidden(name, index.table) if self._cut else None
            self._indexes[name] = index
        return index

    def cut_rights(self, share: float) -> None:
        """Hide a share of the CRM's rows from the caller, always the same ones, with their history."""
        if share != self._cut:
            self._cut = share
            self.forget()

    def _hidden(self, name: str, table: ReadTable) -> Callable[[int], bool] | None:
        limit = round(self._cut * _CUT_STEPS)
        if name in CUT_TABLES:
            return lambda row_id: _cut_step(name, row_id) < limit
        if owners := CUT_WITH_OWNER.get(name):
            return lambda row_id: _cut_step(owners, to_int(table.rows[row_id]["OWNER_ID"])) < limit
        return None

    def forget(self, *names: str) -> None:
        """Say that rows of these tables changed; without names, of all tables, which may be other objects now."""
        self.changes += 1
        for name in names:
            self[name].forget()
        if not names:
            self._indexes.clear()
            for index in self._special.values():
                index.forget()
