"""The four families of paging, each with its own edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from demo.server.store import Matches

PAGE_ROWS = 50


class Family(Enum):
    """How a method reads `start` and what it answers past the end."""

    LEGACY = auto()  # whole pages; past the end the first page comes again
    ORM = auto()  # a real offset; empty past the end
    CONTROLLER = auto()  # whole pages; empty past the end; no total under start=-1
    WHOLE = auto()  # `start` is ignored, all rows come


@dataclass(frozen=True)
class Page:
    """Ids of one page, and the paging keys of the answer; None leaves a key out."""

    ids: Sequence[int]
    total: int | None
    next: int | None


def cut(matches: Matches, start: int, family: Family) -> Page:
    """Cut the page at `start` (negative: the first rows without a count)."""
    total = len(matches)
    if family is Family.WHOLE:
        return Page(matches.take(0, total), total, None)
    if start < 0:
        return Page(matches.take(0, PAGE_ROWS), None if family is Family.CONTROLLER else 0, None)
    offset = start if family is Family.ORM else start // PAGE_ROWS * PAGE_ROWS
    if family is Family.LEGACY and offset >= total:
        offset = 0
    following = offset + PAGE_ROWS
    return Page(matches.take(offset, PAGE_ROWS), total, following if following < total else None)
