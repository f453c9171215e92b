"""Rows kept as tuples and written out when somebody reads them: many rows in little memory."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, ValuesView
from typing import Any

from demo.world.model import Row, Table

Packed = tuple[Any, ...]
Unpack = Callable[[int, Packed], Row]


class PackedRows(dict[int, Row]):
    """A dictionary of rows whose values lie packed; a row that is read is a new dictionary each time."""

    def __init__(self, unpack: Unpack) -> None:
        """Take the function that writes a row out."""
        super().__init__()
        self._unpack = unpack

    def pack(self, row_id: int, values: Packed) -> None:
        """Store a row's values."""
        super().__setitem__(row_id, values)  # type: ignore[assignment]

    def packed(self, row_id: int) -> Packed:
        """Return a row's values."""
        return super().__getitem__(row_id)  # type: ignore[return-value]

    def __getitem__(self, row_id: int) -> Row:
        return self._unpack(row_id, self.packed(row_id))

    def get(self, row_id: int, default: Any = None) -> Any:
        """Return a row, or the default."""
        try:
            return self[row_id]
        except KeyError:
            return default

    def values(self) -> ValuesView[Row]:  # type: ignore[override]
        """Return a view that writes rows out one by one."""
        return ValuesView(self)

    def items(self) -> ItemsView[int, Row]:  # type: ignore[override]
        """Return a view that writes rows out one by one."""
        return ItemsView(self)

    def pop(self, row_id: int, *default: Any) -> Any:
        """Remove a row and return it written out."""
        if default and row_id not in self:
            return default[0]
        row = self[row_id]
        del self[row_id]
        return row


class PackedTable(Table):
    """A table of packed rows."""

    def __init__(self, name: str, unpack: Unpack, *, last_id: int = 0) -> None:
        """Begin empty; the first id follows `last_id`."""
        super().__init__(name, PackedRows(unpack), last_id)

    def append(self, values: Packed) -> int:
        """Store values under the next id and return it."""
        self.last_id += 1
        self.packed.pack(self.last_id, values)
        return self.last_id

    @property
    def packed(self) -> PackedRows:
        """Return the rows as what they are."""
        assert isinstance(self.rows, PackedRows)  # noqa: S101
        return self.rows
