"""Pages as bytes: a row is encoded once and kept, so that a page that is asked for again costs a join."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson

KEPT_BYTES = 768 * 1024**2  # of encoded rows, over all selections


class JsonRows:
    """Rows of one page, each already JSON; decoded only where a reference looks into them."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return orjson.loads(self._rows[index])

    def to_list(self) -> list[Any]:
        """Return the rows as objects."""
        return [orjson.loads(row) for row in self._rows]

    def to_json(self) -> bytes:
        """Return the JSON array."""
        return b"[" + b",".join(self._rows) + b"]"


class Packer(Protocol):
    """Encodes rows of one table, all with the same columns."""

    kept_bytes: int

    def pack(self, ids: Sequence[int]) -> JsonRows:
        """Return these rows, encoded."""


class KeepingPacker:
    """Keeps every row that it has encoded.

    Args:
        encode: returns rows by their ids, encoded.
    """

    def __init__(self, encode: Callable[[Sequence[int]], list[bytes]]) -> None:
        self._encode = encode
        self._kept: dict[int, bytes] = {}
        self.kept_bytes = 0

    def pack(self, ids: Sequence[int]) -> JsonRows:
        """Return these rows, encoded."""
        kept = self._kept
        try:
            return JsonRows([kept[row_id] for row_id in ids])
        except KeyError:
            rows = self._encode(ids)
        if self.kept_bytes > KEPT_BYTES:
            kept.clear()
            self.kept_bytes = 0
        kept.update(zip(ids, rows, strict=True))
        self.kept_bytes += sum(map(len, rows))
        return JsonRows(rows)


def dumps(value: Any) -> bytes:
    """Encode an answer; packed rows go in as they are."""
    return orjson.dumps(value, default=_as_fragment)


def _as_fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, JsonRows):
        return orjson.Fragment(value.to_json())
    raise TypeError(f"{type(value).__name__} is not JSON")
