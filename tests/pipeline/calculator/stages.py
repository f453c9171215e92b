"""Stage order and the stays of deals in stages (2.3, 2.6)."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from .values import Clock, Row, reference, text, whole

LEADS = -1  # the one pipeline of leads
_DEAL_STAGES = re.compile(r"DEAL_STAGE(?:_(\d+))?")
_PIPELINE_CHANGED = 5
_MOVES = (2, 3)


class StageOrder:
    """Positions of today's stages: P stages 1..n by SORT and row id, the success stage n+1, failures none."""

    def __init__(self, statuses: Iterable[Row]) -> None:
        by_pipeline: dict[int, list[Row]] = defaultdict(list)
        for row in statuses:
            if row.get("entity_id") == "STATUS":
                by_pipeline[LEADS].append(row)
            elif found := _DEAL_STAGES.fullmatch(text(row.get("entity_id")) or ""):
                by_pipeline[int(found[1] or 0)].append(row)
        self.paths: dict[int, dict[int, str]] = {}
        self._names: dict[tuple[int, str], str] = {}
        self._positions: dict[tuple[int, str], int] = {}
        self._in_work_counts: dict[int, int] = {}
        for pipeline, rows in by_pipeline.items():
            rows.sort(key=lambda row: (whole(row.get("sort")), whole(row.get("id"))))
            in_work = [row for row in rows if (text(row.get("semantics")) or "P") == "P"]
            success = [row for row in rows if row.get("semantics") == "S"][:1]
            path = {position: str(row["status_id"]) for position, row in enumerate(in_work + success, start=1)}
            self.paths[pipeline] = path
            self._names |= {(pipeline, str(row["status_id"])): text(row.get("name")) or "" for row in rows}
            self._positions |= {(pipeline, stage): position for position, stage in path.items()}
            self._in_work_counts[pipeline] = len(in_work)

    def position(self, pipeline: int, stage_id: str | None) -> int | None:
        """Position on the path; None for failures and for a stage the portal no longer has."""
        return self._positions.get((pipeline, stage_id or ""))

    def name(self, pipeline: int, stage_id: str) -> str:
        """Its name; the id of a stage that the portal no longer has."""
        return self._names.get((pipeline, stage_id)) or f"#{stage_id}"

    def in_work_count(self, pipeline: int) -> int:
        """`path_stage_count`: the number of P stages."""
        return self._in_work_counts.get(pipeline, 0)


@dataclass
class Stay:
    """One stay of a deal in a stage; `left_at` is None while it lasts."""

    deal_id: int
    pipeline_key: int
    stage_id: str
    semantics: str
    position: int | None
    entered_at: datetime
    left_at: datetime | None = None
    is_forward: bool = False
    is_reopen: bool = False
    skipped_count: int = 0
    following: "Stay | None" = None

    @property
    def seconds(self) -> int | None:
        """Its length once it has ended."""
        return int((self.left_at - self.entered_at).total_seconds()) if self.left_at else None


def _continues(earlier: Row, later: Row) -> bool:
    if earlier["stage_id"] != later["stage_id"]:
        return False
    repeated = whole(earlier.get("category_id")) == whole(later.get("category_id"))
    announced = whole(earlier.get("type_id")) == _PIPELINE_CHANGED and whole(later.get("type_id")) in _MOVES
    return repeated or announced


def _link(stays: Sequence[Stay]) -> None:
    if stays and stays[0].position:
        stays[0].skipped_count = stays[0].position - 1
    for earlier, later in pairwise(stays):
        earlier.left_at = later.entered_at
        earlier.following = later
        later.is_reopen = earlier.semantics in {"S", "F"} and later.semantics == "P"
        if earlier.pipeline_key == later.pipeline_key and earlier.position and later.position:
            later.is_forward = later.position > earlier.position
            later.skipped_count = max(0, later.position - earlier.position - 1)


def stays_by_owner(history: Iterable[Row], order: StageOrder, clock: Clock) -> dict[int, list[Stay]]:
    """Stays of every deal or lead in the order of time; repeated rows of one stage are one stay."""
    rows_by_deal: dict[int, list[tuple[datetime, int, Row]]] = defaultdict(list)
    for row in history:
        deal_id, entered_at = reference(row.get("owner_id")), clock.instant(row.get("created_time"))
        if deal_id and entered_at:
            rows_by_deal[deal_id].append((entered_at, whole(row["id"]), row))
    result: dict[int, list[Stay]] = {}
    for deal_id, rows in rows_by_deal.items():
        rows.sort(key=lambda entry: entry[:2])
        stays: list[Stay] = []
        previous: Row | None = None
        for entered_at, _, row in rows:
            if previous is None or not _continues(previous, row):
                pipeline, stage_id = whole(row.get("category_id")), str(row["stage_id"])
                position = order.position(pipeline, stage_id)
                semantics = text(row.get("stage_semantic_id")) or "P"
                stays.append(Stay(deal_id, pipeline, stage_id, semantics, position, entered_at))
            previous = row
        _link(stays)
        result[deal_id] = stays
    return result
