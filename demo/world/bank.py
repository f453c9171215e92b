"""A bank beside the portal: official rates in roubles, set on working days, in force from the next day on."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta
from decimal import Decimal

from demo.world.clock import HOLIDAYS
from demo.world.model import Row
from demo.world.portal_setup import CURRENCIES

# the bank's id and nominal of each currency; those that the portal does not know stand there all the same
LISTED = {
    "USD": ("R01235", 1),
    "EUR": ("R01239", 1),
    "KZT": ("R01335", 100),
    "CNY": ("R01375", 1),
    "TRY": ("R01700J", 10),
}
_FOR_NOMINAL = {code: float(rate) for code, _, rate, *_ in CURRENCIES} | {"CNY": 11.2, "TRY": 20.4}
_FRIDAY = 5


def rate_days(first: date, last: date) -> list[date]:
    """Days on which new rates begin to hold: those after a working day."""
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in days if _is_working(day - timedelta(days=1))]


def bank_rates(seed: int, first: date, last: date) -> list[Row]:
    """Rates that begin to hold from `first` to `last`, as the bank prints them: `value` roubles for `nominal` units."""
    return [
        {"date": day.isoformat(), "char_code": code, "nominal": nominal, "value": _value(seed, code, day)}
        for day in rate_days(first, last)
        for code, (_, nominal) in LISTED.items()
    ]


def _value(seed: int, code: str, day: date) -> str:
    """A slow wave with daily noise around the portal's rate; the seed, the currency and the day decide it."""
    wave = 0.08 * math.sin(day.toordinal() / 60 + len(code) + ord(code[0]))
    noise = random.Random(f"{seed}/bank/{code}/{day}").uniform(-0.01, 0.01)
    value = Decimal(_FOR_NOMINAL[code] * (1 + wave + noise)).quantize(Decimal("0.0001"))
    return str(value).replace(".", ",")


def _is_working(day: date) -> bool:
    return day.weekday() < _FRIDAY and (day.month, day.day) not in HOLIDAYS
