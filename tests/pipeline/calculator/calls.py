"""Mart `call_analytics` (3.20)."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .facts import Call, Facts
from .values import as_money, total

MartRow = dict[str, Any]

RETURNED_WITHIN = timedelta(hours=24)


def call_analytics(facts: Facts) -> list[MartRow]:
    """Calls by the hour they began in."""
    cells: dict[tuple[Any, ...], list[Call]] = defaultdict(list)
    for call in facts.calls:
        began = call.started_at.astimezone(facts.clock.zone)
        cells[began.date(), began.hour, call.manager_key, call.direction, call.line].append(call)
    talks = _talks_by_phone(facts.calls)
    names = ("date_day", "hour", "manager_key", "direction", "portal_number")
    return [
        {
            **dict(zip(names, key, strict=True)),
            "calls": len(calls),
            "calls_connected": sum(call.is_connected for call in calls),
            "calls_missed": sum(call.is_missed for call in calls),
            "calls_short": sum(call.is_short for call in calls),
            "talk_seconds": sum(call.duration_seconds for call in calls if call.is_connected),
            "cost": as_money(total(call.cost_rc for call in calls)),
            "unique_numbers": len({call.phone for call in calls if call.phone}),
            "missed_unreturned": sum(call.is_missed and not _is_returned(call, talks) for call in calls),
        }
        for key, calls in cells.items()
    ]


def _talks_by_phone(calls: Iterable[Call]) -> dict[str, list[datetime]]:
    talks: dict[str, list[datetime]] = defaultdict(list)
    for call in calls:
        if call.is_connected and call.phone:
            talks[call.phone].append(call.started_at)
    for moments in talks.values():
        moments.sort()
    return talks


def _is_returned(missed: Call, talks: Mapping[str, Sequence[datetime]]) -> bool:
    """Whether anybody spoke with the same number, in either direction, in the day after."""
    moments = talks.get(missed.phone or "", [])
    following = bisect_left(moments, missed.started_at)
    return following < len(moments) and moments[following] <= missed.started_at + RETURNED_WITHIN
