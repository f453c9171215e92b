"""Changes of the data between requests: what makes pages shift under a reader."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from demo.server.filters import Row
from demo.server.parameters import to_int
from demo.server.store import RowTable, Store

# the text that an update touches, by table
TOUCHED = {"deals": "TITLE", "leads": "TITLE", "contacts": "POST", "companies": "TITLE"}
# rows that follow their owner: table -> {table of the rows: key of the owner}
FOLLOWERS = {
    "deals": {"deal_stage_history": "OWNER_ID", "deal_product_rows": "ownerId"},
    "leads": {"lead_stage_history": "OWNER_ID"},
}
_HISTORY = {
    "deals": ("deal_stage_history", ("CATEGORY_ID", "STAGE_SEMANTIC_ID", "STAGE_ID")),
    "leads": ("lead_stage_history", ("STATUS_SEMANTIC_ID", "STATUS_ID")),
}


class MutableWorld(Protocol):
    """The part of a world that mutations touch."""

    deleted: dict[str, list[int]]

    @property
    def tables(self) -> Mapping[str, RowTable]:
        """Tables by the names of the raw schema."""


class Mutator:
    """Inserts, updates and deletes CRM rows as users of the portal would; those of `fixed` tables stay as they are."""

    def __init__(self, world: MutableWorld, store: Store, seed: int, fixed: Collection[str] = ()) -> None:
        self._world = world
        self._store = store
        self._tables = [name for name in TOUCHED if name not in fixed]
        self._random = random.Random(f"{seed}:mutations")

    def apply(
        self,
        operation: str,
        now: datetime,
        *,
        table: str | None = None,
        row_id: int | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Do one change; table and row are drawn unless given (an insert copies the row).

        Returns:
            `{"operation", "table", "id"}`, empty if there is no row to change.
        Raises:
            ValueError: an unknown operation, table or id.
        """
        filled = [name for name in self._tables if self._world.tables[name].rows]
        name = table or self._random.choice(filled or self._tables)
        if name not in self._tables:
            raise ValueError(f"rows of {name!r} cannot be changed; choose from {', '.join(self._tables)}")
        rows = self._world.tables[name].rows
        if not rows:
            return {}
        chosen = row_id if row_id is not None else self._random.choice(list(rows))
        if chosen not in rows:
            raise ValueError(f"{name} has no row {chosen}")
        moment = now.isoformat(timespec="seconds")
        match operation:
            case "insert":
                chosen = self._insert(name, rows[chosen], moment, now, values or {})
            case "update":
                rows[chosen]["DATE_MODIFY"] = moment
                rows[chosen].update(values or {TOUCHED[name]: f"{rows[chosen].get(TOUCHED[name]) or ''} *"})
            case "delete":
                self._delete(name, chosen)
            case _:
                raise ValueError(f"unknown operation {operation!r}: choose insert, update or delete")
        self._store.forget(name, *FOLLOWERS.get(name, ()))
        return {"operation": operation, "table": name, "id": chosen}

    def _insert(self, name: str, template: Row, moment: str, now: datetime, values: Mapping[str, Any]) -> int:
        row = {**template, "DATE_CREATE": moment, "DATE_MODIFY": moment, **values}
        if "MOVED_TIME" in row:
            row["MOVED_TIME"] = moment
        row_id = self._world.tables[name].add(row)
        row["ID"] = str(row_id)
        if name in _HISTORY:
            history, columns = _HISTORY[name]
            entry: Row = {
                "TYPE_ID": 1,
                "OWNER_ID": row_id,
                "CREATED_TIME": now.astimezone(UTC).isoformat(timespec="seconds"),
                **{key: to_int(row[key]) if key == "CATEGORY_ID" else row[key] for key in columns},
            }
            entry["ID"] = self._world.tables[history].add(entry)
        return row_id

    def _delete(self, name: str, row_id: int) -> None:
        del self._world.tables[name].rows[row_id]
        self._world.deleted.setdefault(name, []).append(row_id)
        for follower, key in FOLLOWERS.get(name, {}).items():
            rows = self._world.tables[follower].rows
            gone = [other for other, row in rows.items() if to_int(row[key]) == row_id]
            for other in gone:
                del rows[other]
            self._world.deleted.setdefault(follower, []).extend(gone)
