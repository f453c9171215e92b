"""Mart `client_abc` (3.6)."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Any

from .facts import UNKNOWN_CLIENT, Deal, Facts
from .values import ZERO, add_months, as_money, first_of_month, ratio, rounded, two_digits, whole_total

MartRow = dict[str, Any]

WINDOW_MONTHS = 12
MONTHS_KEPT = 13
SHARE_A, SHARE_B = Decimal("0.80"), Decimal("0.95")
COUNT_A, COUNT_B = Fraction(1, 5), Fraction(1, 2)
CV_X, CV_Y = Fraction(1, 10), Fraction(1, 4)
MIN_MONTHS = 3
HOUR = 3600


@dataclass(frozen=True)
class Window:
    """The days that a calculation looks at."""

    month: date
    first_day: date
    last_day: date

    def holds(self, day: date) -> bool:
        """Whether a day lies in it."""
        return self.first_day <= day <= self.last_day

    def full_months(self) -> list[date]:
        """Calendar months that lie in it wholly."""
        start = self.first_day if self.first_day.day == 1 else add_months(first_of_month(self.first_day), 1)
        months = []
        while add_months(start, 1) - timedelta(days=1) <= self.last_day:
            months.append(start)
            start = add_months(start, 1)
        return months


@dataclass
class _Care:
    """What serving one client took: dated touches and seconds."""

    touches: list[date] = field(default_factory=list)
    seconds: list[tuple[date, int]] = field(default_factory=list)


@dataclass
class _Sales:
    """What one client bought, and the revenue of it, both dated."""

    won: list[tuple[date, Deal]] = field(default_factory=list)
    received: list[tuple[date, Decimal]] = field(default_factory=list)

    def within(self, days: Window) -> "_Sales | None":
        """Those of a window, if there are any."""
        won = [(day, deal) for day, deal in self.won if days.holds(day)]
        received = [(day, amount) for day, amount in self.received if days.holds(day)]
        return _Sales(won, received) if won or received else None


def window(month: date, today: date) -> Window:
    """The twelve months that end with a month, with today for the running one."""
    last_day = min(today, add_months(month, 1) - timedelta(days=1))
    return Window(month, add_months(last_day + timedelta(days=1), -WINDOW_MONTHS), last_day)


def _care_by_client(facts: Facts) -> dict[str, _Care]:
    care: dict[str, _Care] = defaultdict(_Care)
    for call in facts.calls:
        client, day = care[facts.client_of(call.entity)], facts.clock.day(call.started_at)
        client.touches.append(day)
        if call.is_connected:
            client.seconds.append((day, call.duration_seconds))
    cards = {call.activity_id for call in facts.calls}
    for activity in facts.activities:
        if activity.completed_at and activity.id not in cards:
            care[facts.client_of(activity.owner)].touches.append(facts.clock.day(activity.completed_at))
    for entry in facts.time_entries:
        task = facts.tasks.get(entry.task_id)
        deal = facts.deals.get(task.deal_id or 0) if task else None
        if deal:
            care[deal.client_key].seconds.append((facts.clock.day(entry.started_at), entry.seconds))
    return care


def client_abc(facts: Facts) -> list[MartRow]:
    """Classes of clients for the running month and the twelve before."""
    sales: dict[str, _Sales] = defaultdict(_Sales)
    for deal in facts.deals.values():
        if deal.is_won and deal.closed_date and deal.client_key != UNKNOWN_CLIENT:
            sales[deal.client_key].won.append((deal.closed_date, deal))
    for receipt in facts.receipts:
        if receipt.deal.client_key != UNKNOWN_CLIENT:
            sales[receipt.deal.client_key].received.append((receipt.day, receipt.amount_rc))
    care = _care_by_client(facts)
    rows: dict[tuple[date, str], MartRow] = {}
    months = [add_months(facts.clock.running_month, -back) for back in range(MONTHS_KEPT)]
    for days in (window(month, facts.clock.today) for month in months):
        clients = {}
        for client_key, of_client in sales.items():
            if inside := of_client.within(days):
                first_day = min((day for day, _ in of_client.won), default=None)
                row = _client(days, client_key, inside, first_day and first_of_month(first_day), care[client_key])
                row["basis_value"] = row[facts.settings.abc_basis]
                clients[client_key] = row
        classify(list(clients.values()), facts.settings.abc_method)
        _score(list(clients.values()))
        rows |= {(days.month, client_key): row for client_key, row in clients.items()}
    for (month, client_key), row in rows.items():
        year_ago = rows.get((add_months(month, -12), client_key))
        row["prev_abc_class"] = year_ago["abc_class"] if year_ago else None
    return list(rows.values())


def _client(window: Window, client_key: str, sales: _Sales, first_month: date | None, care: _Care) -> MartRow:
    revenue = as_money(sum((amount for _, amount in sales.received), ZERO))
    cv_squared = _variation(window, sales.received, first_month)
    last_day = max(day for day, _ in sales.won or sales.received)
    seconds = sum(number for day, number in care.seconds if window.holds(day))
    return {
        "as_of_month": window.month,
        "client_key": client_key,
        "revenue": revenue,
        "gross_profit": whole_total(deal.gross_profit_rc for _, deal in sales.won),
        "deals_won": len(sales.won),
        "month_cv": None if cv_squared is None else _root(cv_squared),
        "xyz_class": _xyz(cv_squared),
        "recency_days": (window.last_day - last_day).days,
        "frequency": len(sales.won),
        "monetary": revenue,
        "touches_count": sum(window.holds(day) for day in care.touches),
        "service_hours": two_digits(seconds, HOUR),
    }


def _variation(window: Window, received: Iterable[tuple[date, Decimal]], first_month: date | None) -> Fraction | None:
    """The coefficient of variation of monthly revenue, squared but with its sign: exact for the class borders."""
    months = [month for month in window.full_months() if first_month and month >= first_month]
    by_month: dict[date, Fraction] = defaultdict(Fraction)
    for day, amount in received:
        by_month[first_of_month(day)] += Fraction(amount)
    if len(months) < MIN_MONTHS:
        return None
    values = [by_month[month] for month in months]
    mean: Fraction = sum(values, Fraction(0)) / len(values)
    if not mean:
        return None
    deviations = sum(((value - mean) ** 2 for value in values), Fraction(0))
    return deviations / len(values) / (mean * abs(mean))


def _root(square: Fraction) -> float:
    digits = 10**24
    root = Fraction(isqrt(abs(square.numerator) * digits // square.denominator), 10**12)
    return float(rounded(-root if square < 0 else root, 4))


def _xyz(cv_squared: Fraction | None) -> str | None:
    if cv_squared is None:
        return None
    if cv_squared <= CV_X**2:
        return "X"
    return "Y" if cv_squared <= CV_Y**2 else "Z"


def classify(rows: Sequence[MartRow], method: str) -> None:
    """Write places and classes by `basis_value` into rows of one window."""
    positive = sorted(
        (row for row in rows if row["basis_value"] > 0), key=lambda row: (-row["basis_value"], row["client_key"])
    )
    whole_sum = sum((row["basis_value"] for row in positive), ZERO)
    running = ZERO
    for number, row in enumerate(positive, start=1):
        running += row["basis_value"]
        greater = [other["basis_value"] for other in positive[:number] if other["basis_value"] > row["basis_value"]]
        greater_sum = sum(greater, ZERO)
        row |= {
            "greater_sum": greater_sum,
            "abc_class": _abc_by_count(number, len(positive)) if method == "by_count" else _abc(greater_sum, whole_sum),
            "client_rank": len(greater) + 1,
            "cum_value": running,
            "cum_share": ratio(running, whole_sum),
            "cum_client_share": ratio(number, len(positive)),
            "abc_class_by_count": _abc_by_count(number, len(positive)),
        }
    absent = ("greater_sum", "client_rank", "cum_value", "cum_share", "cum_client_share", "abc_class_by_count")
    for row in rows:
        if row["basis_value"] <= 0:
            row |= {"abc_class": "N", **dict.fromkeys(absent)}


def _abc(greater_sum: Decimal, whole_sum: Decimal) -> str:
    if greater_sum < SHARE_A * whole_sum:
        return "A"
    return "B" if greater_sum < SHARE_B * whole_sum else "C"


def _abc_by_count(number: int, count: int) -> str:
    if number <= -(-count * COUNT_A // 1):
        return "A"
    return "B" if number <= -(-count * COUNT_B // 1) else "C"


def _scores(values: Sequence[Any]) -> list[int]:
    """`least(5, 1 + floor(5 * percent_rank()))` in ascending order of the values."""
    ordered = sorted(values)
    others = max(len(ordered) - 1, 1)
    return [min(5, 1 + 5 * bisect_left(ordered, value) // others) for value in values]


def _score(rows: Sequence[MartRow]) -> None:
    scored = {
        "r_score": _scores([-row["recency_days"] for row in rows]),
        "f_score": _scores([row["frequency"] for row in rows]),
        "m_score": _scores([row["monetary"] for row in rows]),
    }
    for number, row in enumerate(rows):
        row |= {name: scores[number] for name, scores in scored.items()}
        row["rfm"] = f"{row['r_score']}{row['f_score']}{row['m_score']}"
