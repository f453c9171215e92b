"""Mart `period_comparison` (3.8)."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .facts import Facts
from .results import ALL_PIPELINES
from .values import ZERO, add_months, as_money, ratio, rounded

MartRow = dict[str, Any]
Daily = dict[date, Decimal]

METRICS = ("deals_created", "deals_won", "deals_lost", "revenue", "lost_amount")
ONE = Decimal(1)
MONTHS_OF_YEAR = 12
FULL_YEARS = 2
COMPARED = ("prev", "yoy", "prev_same_days", "yoy_same_days")


@dataclass(frozen=True)
class _Kind:
    """One type of period: its start by any day of it, the start of the next, and that of the one a year ago."""

    start: Callable[[date], date]
    following: Callable[[date], date]
    year_ago: Callable[[date], date | None]


def _week_year_ago(start: date) -> date | None:
    year, week, _ = start.isocalendar()
    return date.fromisocalendar(year - 1, week, 1) if week <= 52 else None


def _months(number: int) -> _Kind:
    def start(day: date) -> date:
        return day.replace(month=(day.month - 1) // number * number + 1, day=1)

    return _Kind(start, lambda day: add_months(day, number), lambda day: add_months(day, -MONTHS_OF_YEAR))


KINDS = {
    "week": _Kind(lambda day: day - timedelta(days=day.weekday()), lambda day: day + timedelta(days=7), _week_year_ago),
    "month": _months(1),
    "quarter": _months(3),
    "year": _months(12),
}


def period_comparison(facts: Facts) -> list[MartRow]:
    """Every metric of every period beside the one before and the one a year ago."""
    series = _daily(facts)
    days = [day for daily in series.values() for day in daily]
    rows = []
    if days:
        for kind in KINDS:
            starts = _starts(KINDS[kind], min(days), facts.clock.today)
            for (pipeline, metric), daily in series.items():
                labels = {"period_type": kind, "pipeline_key": pipeline, "metric": metric}
                rows += [{**labels, **row} for row in _compared(kind, starts, daily, facts.clock.today)]
    return rows


def _daily(facts: Facts) -> dict[tuple[int, str], Daily]:
    series: dict[tuple[int, str], Daily] = {}
    for pipeline in (ALL_PIPELINES, *sorted({deal.pipeline_key for deal in facts.deals.values()})):
        for metric in METRICS:
            series[pipeline, metric] = defaultdict(lambda: ZERO)
    series[ALL_PIPELINES, "leads"] = defaultdict(lambda: ZERO)
    for lead in facts.leads.values():
        series[ALL_PIPELINES, "leads"][facts.clock.day(lead.created_at)] += ONE
    for deal in facts.deals.values():
        for pipeline in (ALL_PIPELINES, deal.pipeline_key):
            series[pipeline, "deals_created"][deal.created_date] += ONE
            if deal.closed_date and deal.is_won:
                series[pipeline, "deals_won"][deal.closed_date] += ONE
            elif deal.closed_date:
                series[pipeline, "deals_lost"][deal.closed_date] += ONE
                series[pipeline, "lost_amount"][deal.closed_date] += deal.amount_rc or ZERO
    for receipt in facts.receipts:
        for pipeline in (ALL_PIPELINES, receipt.deal.pipeline_key):
            series[pipeline, "revenue"][receipt.day] += receipt.amount_rc
    return series


def _starts(kind: _Kind, first: date, today: date) -> list[date]:
    starts = [kind.start(first)]
    while (following := kind.following(starts[-1])) <= today:
        starts.append(following)
    return starts


def _compared(name: str, starts: list[date], daily: Daily, today: date) -> list[MartRow]:
    kind = KINDS[name]
    known = set(starts)
    by_start: dict[date, Daily] = defaultdict(dict)
    for day, value in daily.items():
        by_start[kind.start(day)][day] = value

    def value_of(start: date | None, days: int | None = None) -> Decimal | None:
        if start not in known or start is None:
            return None
        end = start + timedelta(days=days) if days else kind.following(start)
        return as_money(sum((value for day, value in by_start[start].items() if day < end), ZERO))

    rows = []
    for start in starts:
        previous, year_ago = kind.start(start - timedelta(days=1)), kind.year_ago(start)
        following = kind.following(start)
        elapsed = (min(following, today + timedelta(days=1)) - start).days
        compared = {
            "prev": value_of(previous),
            "yoy": value_of(year_ago),
            "prev_same_days": value_of(previous, elapsed),
            "yoy_same_days": value_of(year_ago, elapsed),
        }
        value = value_of(start)
        assert value is not None
        rows.append(
            {
                "period_start": start,
                "value": value,
                "is_complete": following <= today,
                **{f"value_{name}": other for name, other in compared.items()},
                **{f"delta_{name}": None if other is None else value - other for name, other in compared.items()},
                **{f"pct_{name}": _growth(value, other) for name, other in compared.items()},
            }
        )
    seasons = _seasons(rows) if name == "month" else {}
    return [{**row, "seasonality_index": seasons.get(row["period_start"].month)} for row in rows]


def _growth(value: Decimal, other: Decimal | None) -> float | None:
    return ratio(value - other, other) if other is not None and other > 0 else None


def _seasons(rows: list[MartRow]) -> dict[int, float]:
    years: dict[int, list[Decimal]] = defaultdict(list)
    for row in rows:
        if row["is_complete"]:
            years[row["period_start"].year].append(row["value"])
    full = [values for values in years.values() if len(values) == MONTHS_OF_YEAR and sum(values) > 0]
    if len(full) < FULL_YEARS:
        return {}
    shares = [[Fraction(value) * MONTHS_OF_YEAR / Fraction(sum(values)) for value in values] for values in full]
    averages = [rounded(sum(column, Fraction(0)) / len(full), 4) for column in zip(*shares, strict=True)]
    return {month: float(average) for month, average in enumerate(averages, start=1)}
