"""The index of deals that are made from their ids: nothing is scanned, and pages are filled into templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo

import orjson

from demo.server.fields import Entity
from demo.server.filters import RANGES, Clause, Condition
from demo.server.packing import JsonRows, KeepingPacker, Packer
from demo.server.rendering import Render
from demo.server.store import Matches, Order, TableIndex, narrow
from demo.world.generated import GeneratedDeals, Slots

_SLOTS = (Slots.ID, Slots.CREATED, Slots.MODIFIED, Slots.BEGIN, Slots.CLOSE)

_ROWS_KEPT = 300_000  # so many encoded rows can be kept; of more, none is


class GeneratedIndex(TableIndex):
    """Finds rows by ranges of id, DATE_CREATE and DATE_MODIFY without looking at them; other filters scan."""

    def __init__(self, deals: GeneratedDeals, zone: tzinfo) -> None:
        self._deals = deals
        super().__init__(deals, zone)

    @property
    def ids(self) -> Sequence[int]:
        """All ids, ascending."""
        if self.hidden is None:
            return self._deals.ids
        if self._ids is None:
            self._ids = self._visible(self._deals.ids)
        return self._ids

    def packer(self, render: Render) -> Packer:
        """Return what encodes rows, shown by `render`."""
        packer = TemplatePacker(self._deals, render)
        return KeepingPacker(packer.encode) if len(self.ids) <= _ROWS_KEPT else packer

    def matching(self, entity: Entity, clauses: Sequence[Clause], order: Order) -> Matches:
        """Return the ids of the rows that fit every clause, in this order; ids and times grow together."""
        growing: dict[str, Callable[[int], float] | None] = {
            "ID": None,
            "DATE_CREATE": self._deals.created,
            "DATE_MODIFY": self._deals.modified,
        }
        ids = self.ids
        low, high = 0, len(ids)
        if not order or order[0][0].key not in growing:
            return super().matching(entity, clauses, order)
        for clause in clauses:
            if not isinstance(clause, Condition) or clause.comparison not in RANGES or clause.field.key not in growing:
                return super().matching(entity, clauses, order)
            low, high = narrow(ids, clause, low, high, growing[clause.field.key])
        return Matches(ids, low, max(low, high), backwards=order[0][1])


class TemplatePacker:
    """Encodes each pattern once per selection; a row is its template with the id and the times filled in."""

    def __init__(self, deals: GeneratedDeals, render: Render) -> None:
        self._deals = deals
        self._render = render
        self._templates: dict[int, tuple[bytes, tuple[str, ...]]] = {}
        self.kept_bytes = 0

    def pack(self, ids: Sequence[int]) -> JsonRows:
        """Return these rows, encoded."""
        return JsonRows(self.encode(ids))

    def encode(self, ids: Sequence[int]) -> list[bytes]:
        """Return each of these rows, encoded."""
        return [self._encode(row_id) for row_id in ids]

    def _encode(self, row_id: int) -> bytes:
        kind = self._deals.kind(row_id)
        template, used = self._templates.get(kind) or self._compile(kind)
        if used == (Slots.ID,):
            return template % row_id
        slots = self._deals.slots(row_id)
        return template % tuple([slots[name].encode() for name in used])

    def _compile(self, kind: int) -> tuple[bytes, tuple[str, ...]]:
        """Return a format and the slots that fill it, in order."""
        text = orjson.dumps(self._render([self._deals.patterns[kind]])[0]).decode().replace("%", "%%")
        places = sorted((text.find(name, start), name) for name in _SLOTS for start in _starts(text, name))
        used = tuple(name for _, name in places)
        for name in _SLOTS:
            text = text.replace(name, "%d" if used == (Slots.ID,) else "%b")
        self._templates[kind] = (text.encode(), used)
        self.kept_bytes += len(text)
        return self._templates[kind]


def _starts(text: str, part: str) -> list[int]:
    """Return where a part begins in a text."""
    found: list[int] = []
    start = text.find(part)
    while start >= 0:
        found.append(start)
        start = text.find(part, start + 1)
    return found
