"""Indexes over the world's tables, so that a page costs its rows and not its table."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

from demo.server.fields import Entity, Field
from demo.server.filters import RANGES, Clause, Condition, Row, sort_key
from demo.server.parameters import to_int

Order = tuple[tuple[Field, bool], ...]  # (field, descending)

_SCANS_KEPT = 64
_OWNER_KEYS = ("ownerId", "TASK_ID", "OWNER_ID")


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


class TableIndex:
    """Sorted ids of one table, ids by owner, and the results of recent scans; all forgotten when rows change."""

    def __init__(self, table: RowTable, zone: tzinfo) -> None:
        self.table = table
        self._zone = zone
        self.forget()

    def forget(self) -> None:
        """Drop everything derived from the rows."""
        self._ids: list[int] | None = None
        self._owners: dict[str, dict[int, list[int]]] = {}
        self._scans: OrderedDict[object, list[int]] = OrderedDict()

    @property
    def ids(self) -> list[int]:
        """All ids, ascending."""
        if self._ids is None:
            self._ids = sorted(self.table.rows)
        return self._ids

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """Return the rows of these ids."""
        rows = self.table.rows
        return [rows[row_id] for row_id in ids]

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
            value = bound.values[0]
            match bound.comparison:
                case "gt":
                    low = max(low, bisect_right(found, value))
                case "ge":
                    low = max(low, bisect_left(found, value))
                case "lt":
                    high = min(high, bisect_left(found, value))
                case "le":
                    high = min(high, bisect_right(found, value))
        return Matches(found, low, max(low, high), backwards=order[0][1])

    def _scan(self, entity: Entity, clauses: tuple[Clause, ...], order: Order) -> list[int]:
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
                return sorted(set(clause.values) & self.table.rows.keys())
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


def _is_id(clause: Condition, entity: Entity) -> bool:
    return entity.keyed and clause.field.key == entity.id_key


class Store:
    """The indexes of all tables; `changes` counts the times that rows were said to have changed."""

    def __init__(self, world: Tables, zone: tzinfo) -> None:
        self.zone = zone
        self._world = world
        self._indexes: dict[str, TableIndex] = {}
        self.changes = 0

    def __getitem__(self, name: str) -> TableIndex:
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = TableIndex(self._world.tables[name], self.zone)
        return index

    def forget(self, *names: str) -> None:
        """Say that rows of these tables changed; without names, of all tables, which may be other objects now."""
        self.changes += 1
        for name in names:
            self[name].forget()
        if not names:
            self._indexes.clear()
