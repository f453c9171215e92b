"""What a method sees of the portal and what it gives back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.server.fields import Entity, Field, custom_field
from demo.server.filters import Row
from demo.server.packing import KEPT_BYTES, Packer
from demo.server.parameters import Params, to_int
from demo.server.rendering import ItemView, NativeItemView, Render
from demo.server.store import Store
from demo.world.links import CONTACT_COMPANIES, DEAL_CONTACTS, LinkKind, links_of


@dataclass(frozen=True)
class Answer:
    """A successful result; `rows` were read for it, and it is a page of a list if `is_page`.

    `total` and `next` are left out of the envelope when None.
    """

    result: Any
    total: int | None = None
    next: int | None = None
    rows: int = 0
    is_page: bool = False


_PACKERS_KEPT = 64
SIMPLE_MODE = 2
CUSTOM_FIELD_TABLES = ("custom_fields", "item_custom_fields")


@dataclass
class View:
    """The portal as methods see it."""

    store: Store
    now: Callable[[], datetime]
    user_id: int
    is_admin: bool = True
    scopes: tuple[str, ...] = ()
    owner_array: str = "refuse"
    crm_mode: int = 1
    _custom: tuple[int, dict[str, dict[str, Field]]] = field(default=(-1, {}))
    _items: dict[str, ItemView | NativeItemView] = field(default_factory=dict)
    _links: dict[str, tuple[object, dict[int, list[Row]]]] = field(default_factory=dict)
    _packers: OrderedDict[Hashable, Packer] = field(default_factory=OrderedDict)
    _packed_at: int = -1

    def custom_fields(self, entity: Entity) -> dict[str, Field]:
        """Return the entity's `UF_*` fields by code, as they are now."""
        if self._custom[0] != self.store.changes:
            fields: dict[str, dict[str, Field]] = {}
            for row in self._all_custom_field_rows():
                fields.setdefault(row["ENTITY_ID"], {})[row["FIELD_NAME"]] = custom_field(row)
            self._custom = (self.store.changes, fields)
            self._items.clear()
        return self._custom[1].get(entity.custom_fields_of, {})

    def fields(self, entity: Entity) -> Mapping[str, Field]:
        """Return every field that a filter or an order may name."""
        custom = self.custom_fields(entity) if entity.custom_fields_of else {}
        return {**entity.fields, **custom} if custom else entity.fields

    def items(self, entity: Entity) -> ItemView | NativeItemView:
        """Return the entity's universal view."""
        custom = self.custom_fields(entity)
        if entity.table not in self._items:
            self._items[entity.table] = (
                NativeItemView(entity, custom) if entity.native else ItemView(entity, custom, self._linked_ids(entity))
            )
        return self._items[entity.table]

    def packer(self, entity: Entity, selection: Hashable, make_render: Callable[[], Render]) -> Packer:
        """Return what encodes rows of an entity; it is kept per selection until rows or fields change."""
        if self._packed_at != self.store.changes:
            self._packed_at = self.store.changes
            self._packers.clear()
        key = (entity.table, selection)
        packer = self._packers.get(key)
        if packer is None:
            packer = self._packers[key] = self.store[entity.table].packer(make_render())
        self._packers.move_to_end(key)
        while len(self._packers) > 1 and (
            len(self._packers) > _PACKERS_KEPT or sum(item.kept_bytes for item in self._packers.values()) > KEPT_BYTES
        ):
            self._packers.popitem(last=False)
        return packer

    def custom_field_rows(self, entity: Entity) -> list[Row]:
        """Return the rows that describe the entity's `UF_*` fields."""
        return [row for row in self._all_custom_field_rows() if row["ENTITY_ID"] == entity.custom_fields_of]

    def _all_custom_field_rows(self) -> list[Row]:
        return [row for name in CUSTOM_FIELD_TABLES for row in self.store[name].table.rows.values()]

    def hides(self, entity: Entity) -> bool:
        """Tell whether the simple mode of the CRM empties an entity's lists."""
        return self.crm_mode == SIMPLE_MODE and entity.table in ("leads", "lead_stage_history")

    def links(self, kind: LinkKind, owner: Row) -> list[Row]:
        """Return the links of a deal or a contact, the primary one first."""
        index = self.store[kind.table]
        kept = self._links.get(kind.table)
        if kept is None or kept[0] is not index:
            further: dict[int, list[Row]] = {}
            for row in index.table.rows.values():
                further.setdefault(row[kind.owner_key], []).append(row)
            kept = self._links[kind.table] = (index, further)
        return links_of(kind, owner, kept[1].get(to_int(owner["ID"]), ()))

    def _linked_ids(self, entity: Entity) -> Callable[[Row], list[int]] | None:
        kind = {kind.owners: kind for kind in (DEAL_CONTACTS, CONTACT_COMPANIES)}.get(entity.table)
        if kind is None:
            return None
        return lambda row: [link[kind.other_key] for link in self.links(kind, row)]


Handler = Callable[[View, Params], Answer]


@dataclass(frozen=True)
class Method:
    """One REST method; a scope of None means that every webhook may call it."""

    name: str
    scope: str | None
    run: Handler
