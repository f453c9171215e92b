"""Time inside the world: whole seconds since 1970 (UTC), read in the portal's zone, and the company's calendar."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

from demo.world.model import PORTAL_TZ

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400
OFFSET_S = int(PORTAL_TZ.utcoffset(None).total_seconds())
EPOCH = date(1970, 1, 1)

OPENS_S, CLOSES_S = 9 * HOUR_S, 19 * HOUR_S
SATURDAY = 5

# relative demand by month of the year: a spring and an autumn peak, slow January, May and summer
SEASON = (0.72, 0.95, 1.1, 1.08, 0.85, 0.95, 0.86, 0.9, 1.08, 1.16, 1.15, 1.1)
YEARLY_GROWTH = 0.22
HOLIDAYS = frozenset(
    [(1, day) for day in range(1, 9)] + [(2, 23), (3, 8), (5, 1), (5, 2), (5, 9), (6, 12), (11, 4), (12, 31)]
)

# share of a day's events by hour of the portal's zone
OFFICE_HOURS = (0, 0, 0, 0, 0, 0, 0, 0, 1, 6, 10, 12, 11, 7, 10, 12, 11, 9, 5, 1, 0, 0, 0, 0)
VISITOR_HOURS = (1, 1, 0, 0, 0, 1, 1, 2, 5, 8, 11, 12, 11, 9, 10, 10, 9, 8, 6, 5, 4, 3, 3, 2)


def portal_stamp(moment: int) -> str:
    """Render an instant as entities show it, e.g. `2026-05-14T10:26:33+03:00`."""
    return datetime.fromtimestamp(moment, PORTAL_TZ).isoformat()


def utc_stamp(moment: int) -> str:
    """Render an instant as stage history shows it, e.g. `2026-05-14T07:26:33+00:00`."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def date_stamp(day: int) -> str:
    """Render a calendar date as the portal does: with a meaningless hour."""
    return f"{date_of(day).isoformat()}T03:00:00+03:00"


def local_day(moment: int) -> int:
    """Return the day number (days since 1970-01-01) of an instant in the portal's zone."""
    return (moment + OFFSET_S) // DAY_S


def day_start(day: int) -> int:
    """Return the instant of a day's midnight in the portal's zone."""
    return day * DAY_S - OFFSET_S


def date_of(day: int) -> date:
    """Return the calendar date of a day number."""
    return EPOCH + timedelta(days=day)


def weekday(day: int) -> int:
    """Return 0 for Monday … 6 for Sunday."""
    return (day + 3) % 7  # day 0 was a Thursday


def to_working_time(moment: int) -> int:
    """Return the moment itself when the office works then, else a moment soon after it opens again."""
    day = local_day(moment)
    second = moment - day_start(day)
    if OPENS_S <= second < CLOSES_S and weekday(day) < SATURDAY:
        return moment
    if second >= CLOSES_S:
        day += 1
    while weekday(day) >= SATURDAY:
        day += 1
    # the backlog of a night is worked off over the first hour and a half
    return day_start(day) + OPENS_S + moment % (90 * MINUTE_S)


def day_weight(day: int, *, weekend: float) -> float:
    """Return the relative demand of a day: growth, season, weekday, holidays.

    Args:
        day: day number.
        weekend: demand of a Saturday relative to a weekday; a Sunday has half of it.
    """
    when = date_of(day)
    weight = SEASON[when.month - 1] * math.exp(math.log1p(YEARLY_GROWTH) * (when - date(2024, 1, 1)).days / 365)
    if weekday(day) == SATURDAY:
        weight *= weekend
    elif weekday(day) > SATURDAY:
        weight *= weekend / 2
    if (when.month, when.day) in HOLIDAYS:
        weight *= 0.15
    return weight


class HoursOfDay:
    """Distribution of events over the day, piecewise even within an hour."""

    def __init__(self, weights: Sequence[float]) -> None:
        """Take 24 hourly weights."""
        total = sum(weights)
        self._edges = [0.0, *(part / total for part in accumulate(weights))]

    def share_before(self, second: int) -> float:
        """Return which share of a day's events lies before this second of the day."""
        hour, rest = divmod(min(max(second, 0), DAY_S), HOUR_S)
        if hour == 24:
            return 1.0
        return self._edges[hour] + (self._edges[hour + 1] - self._edges[hour]) * rest / HOUR_S

    def second_at(self, share: float) -> int:
        """Return the second of the day before which this share of events lies."""
        hour = min(bisect_right(self._edges, share) - 1, 23)
        width = self._edges[hour + 1] - self._edges[hour]
        return int((hour + ((share - self._edges[hour]) / width if width else 0.0)) * HOUR_S)
