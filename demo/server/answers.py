"""What a method sees of the portal and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.server.fields import Entity, Field, custom_field
from demo.server.filters import Row
from demo.server.parameters import Params
from demo.server.rendering import ItemView
from demo.server.store import Store


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


@dataclass
class View:
    """The portal as methods see it."""

    store: Store
    now: Callable[[], datetime]
    user_id: int
    is_admin: bool = True
    scopes: tuple[str, ...] = ()
    owner_array: str = "refuse"
    _custom: tuple[int, dict[str, dict[str, Field]]] = field(default=(-1, {}))
    _items: dict[str, ItemView] = field(default_factory=dict)

    def custom_fields(self, entity: Entity) -> dict[str, Field]:
        """Return the entity's `UF_*` fields by code, as they are now."""
        if self._custom[0] != self.store.changes:
            fields: dict[str, dict[str, Field]] = {}
            for row in self.store["custom_fields"].table.rows.values():
                fields.setdefault(row["ENTITY_ID"], {})[row["FIELD_NAME"]] = custom_field(row)
            self._custom = (self.store.changes, fields)
            self._items.clear()
        return self._custom[1].get(entity.custom_fields_of, {})

    def fields(self, entity: Entity) -> Mapping[str, Field]:
        """Return every field that a filter or an order may name."""
        custom = self.custom_fields(entity) if entity.custom_fields_of else {}
        return {**entity.fields, **custom} if custom else entity.fields

    def items(self, entity: Entity) -> ItemView:
        """Return the entity's universal view."""
        custom = self.custom_fields(entity)
        if entity.table not in self._items:
            self._items[entity.table] = ItemView(entity, custom)
        return self._items[entity.table]

    def custom_field_rows(self, entity: Entity) -> list[Row]:
        """Return the rows that describe the entity's `UF_*` fields."""
        rows = self.store["custom_fields"].table.rows.values()
        return [row for row in rows if row["ENTITY_ID"] == entity.custom_fields_of]


Handler = Callable[[View, Params], Answer]


@dataclass(frozen=True)
class Method:
    """One REST method; a scope of None means that every webhook may call it."""

    name: str
    scope: str | None
    run: Handler
