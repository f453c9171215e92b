"""Mart `process_efficiency` (3.23)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

from .items import Item
from .stages import Stay
from .values import Clock, add_months, median, two_digits

MartRow = dict[str, Any]
Key = tuple[int, int, date, str]
Cell = dict[str, Any]

HOUR = 3600
_COUNTS = (
    "items_created",
    "items_done",
    "items_failed",
    "stage_entries",
    "stage_exits",
    "items_open",
    "items_overdue",
)


def _empty() -> Cell:
    return {**dict.fromkeys(_COUNTS, 0), "stay_seconds": [], "cycle_seconds": []}


def process_efficiency(items: Iterable[Item], clock: Clock) -> list[MartRow]:
    """Items by month and by the stage they were created in, went through, stood in, or ended in."""
    cells: dict[Key, Cell] = defaultdict(_empty)
    for item in items:
        _add(cells, item, clock)
    return [
        {
            "entity_type_id": kind,
            "pipeline_key": pipeline,
            "period_month": month,
            "stage_id": stage_id,
            **{name: cell[name] for name in _COUNTS},
            "stay_hours_sum": two_digits(sum(cell["stay_seconds"]), HOUR),
            "stay_hours_median": median(cell["stay_seconds"], HOUR),
            "cycle_hours_sum": two_digits(sum(cell["cycle_seconds"]), HOUR),
            "cycle_hours_median": median(cell["cycle_seconds"], HOUR),
        }
        for (kind, pipeline, month, stage_id), cell in cells.items()
        if month <= clock.running_month
    ]


def _add(cells: dict[Key, Cell], item: Item, clock: Clock) -> None:
    def cell(place: Item | Stay, month: date) -> Cell:
        return cells[item.entity_type_id, place.pipeline_key, month, place.stage_id]

    # without a history it stood where it is, from its creation until it closed
    supposed = Stay(item.id, item.pipeline_key, item.stage_id, "P", None, item.created_at, item.closed_at)
    stays = item.stays or [supposed]
    cell(stays[0], clock.month(item.created_at))["items_created"] += 1
    if item.closed_at:
        ended = cell(item, clock.month(item.closed_at))
        ended[f"items_{item.outcome}"] += 1
        if item.outcome == "done":
            ended["cycle_seconds"].append(_seconds(item.created_at, item.closed_at))
    for stay in item.stays:
        cell(stay, clock.month(stay.entered_at))["stage_entries"] += 1
        if stay.left_at:
            left = cell(stay, clock.month(stay.left_at))
            left["stage_exits"] += 1
            left["stay_seconds"].append(stay.seconds)
    for stay in stays:
        for month in _months_open(stay, clock):
            standing = cell(stay, month)
            standing["items_open"] += 1
            standing["items_overdue"] += item.is_overdue(clock.day(clock.end_of_period(month)))


def _seconds(since: datetime, until: datetime) -> int:
    return int((until - since).total_seconds())


def _months_open(stay: Stay, clock: Clock) -> Iterator[date]:
    """Months at whose end (now, in the running one) the item stood in work there."""
    month = clock.month(stay.entered_at)
    while stay.semantics == "P" and month <= clock.running_month:
        end = clock.end_of_period(month)
        if stay.left_at is not None and stay.left_at < end:
            return
        if stay.entered_at < end:
            yield month
        month = add_months(month, 1)
