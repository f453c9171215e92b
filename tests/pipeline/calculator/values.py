"""Reading of portal values and the rounding shared by all marts (rules R1, R2, R4, R5, R6)."""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from statistics import median as _median
from typing import Any
from zoneinfo import ZoneInfo

Row = Mapping[str, Any]

MONEY_LIMIT = Decimal(10) ** 16  # decimal(18,2) keeps 16 digits before the point
KOPECK = Decimal("0.01")
ZERO = Decimal("0.00")
BANK_HOLDS = timedelta(days=15)  # a rate of the bank, over weekends and holidays


@cache
def snake_case(name: str) -> str:
    """`DATE_CREATE` and `dateCreate` both become `date_create`."""
    if name.upper() == name:
        return name.lower()
    return re.sub(r"(?<!^)(?<!_)([A-Z])", r"_\1", name).lower()


def rows_of(truth: Mapping[str, Any], table: str) -> list[dict[str, Any]]:
    """Rows of one table with snake_case keys; an absent table is empty."""
    return [{snake_case(key): value for key, value in row.items()} for row in truth.get(table) or []]


def reference(value: Any) -> int | None:
    """An id, or None where the portal says "not set" (0, '', null, false, [], {})."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    written = str(value).strip()
    return int(written) or None if written else None


def whole(value: Any) -> int:
    """A count; empty is 0."""
    number = exact(value)
    return int(number) if number is not None else 0


def text(value: Any) -> str | None:
    """A text without NUL characters, or None if empty."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    return str(value).replace("\0", "") or None


def flag(value: Any) -> bool:
    """`Y`, `1` and JSON true are true."""
    return value is True or str(value).upper() in {"Y", "1", "TRUE"}


def exact(value: Any) -> Decimal | None:
    """A number with all its digits; None if empty or not a number."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def rounded(value: Fraction, digits: int) -> Decimal:
    """Half away from zero."""
    scaled = abs(value) * 10**digits
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    sign = 1 if value < 0 else 0
    return Decimal((sign, tuple(int(digit) for digit in str(units)), -digits))


def fitting(value: Fraction) -> Decimal | None:
    """Money with two digits; None if it does not fit decimal(18,2)."""
    amount = rounded(value, 2)
    return amount if abs(amount) < MONEY_LIMIT else None


def as_money(value: Decimal | int) -> Decimal:
    """A sum of money, two digits."""
    return Decimal(value).quantize(KOPECK, rounding=ROUND_HALF_UP)


def amount_of(value: Any) -> Decimal | None:
    """A money field in its own currency; None if empty, not a number or too large."""
    number = exact(value)
    return fitting(Fraction(number)) if number is not None else None


def converted(rate: Decimal | None, *factors: Decimal | None) -> Decimal | None:
    """The product of the factors and the rate, rounded once; None if any is unknown or it does not fit."""
    product = Fraction(1)
    for factor in (*factors, rate):
        if factor is None:
            return None
        product *= Fraction(factor)
    return fitting(product)


def ratio(numerator: Any, denominator: Any) -> float | None:
    """Four digits; None without a denominator."""
    if numerator is None or not denominator:
        return None
    return float(rounded(Fraction(numerator) / Fraction(denominator), 4))


def two_digits(numerator: Any, denominator: Any = 1) -> float | None:
    """Hours, days, minutes and plain averages; None without a denominator."""
    if numerator is None or not denominator:
        return None
    return float(rounded(Fraction(numerator) / Fraction(denominator), 2))


def avg_money(numerator: Decimal | int, denominator: Any) -> Decimal | None:
    """A money average; None without a denominator."""
    return rounded(Fraction(numerator) / Fraction(denominator), 2) if denominator else None


def cost_per(spend: Decimal | int, denominator: int) -> Decimal | None:
    """A cost per something: unknown (None) without spend as well."""
    return avg_money(spend, denominator) if spend else None


def median(values: Iterable[int], unit: int = 1) -> float | None:
    """The interpolated median in units, two digits; None without values."""
    numbers = [Fraction(value) for value in values]
    return two_digits(_median(numbers), unit) if numbers else None


def total(values: Iterable[Decimal | None]) -> Decimal:
    """Unknown amounts count as nothing."""
    return sum((value for value in values if value is not None), ZERO)


def whole_total(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum, or None if any amount is unknown."""
    amounts = list(values)
    return None if None in amounts else as_money(total(amounts))


def first_of_month(day: date) -> date:
    """The month a day lies in."""
    return day.replace(day=1)


def add_months(day: date, months: int) -> date:
    """The same day of another month, or its last day."""
    index = day.year * 12 + day.month - 1 + months
    start = date(index // 12, index % 12 + 1, 1)
    following = date((index + 1) // 12, (index + 1) % 12 + 1, 1)
    return min(start + timedelta(days=day.day - 1), following - timedelta(days=1))


@dataclass(frozen=True)
class Clock:
    """The reporting zone and the moment called now."""

    as_of: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        """`as_of_date`."""
        return self.day(self.as_of)

    @property
    def running_month(self) -> date:
        """The month that holds `as_of`; no mart has a later one."""
        return first_of_month(self.today)

    def instant(self, value: Any) -> datetime | None:
        """A datetime in UTC; without an offset it is read in the reporting zone."""
        written = text(value)
        if written is None:
            return None
        moment = datetime.fromisoformat(written)
        return (moment if moment.tzinfo else moment.replace(tzinfo=self.zone)).astimezone(UTC)

    def day(self, moment: datetime) -> date:
        """Its calendar date."""
        return moment.astimezone(self.zone).date()

    def month(self, moment: datetime) -> date:
        """Its calendar month."""
        return first_of_month(self.day(moment))

    def midnight(self, day: date) -> datetime:
        """00:00 of a day, in UTC."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def end_of_period(self, month: date) -> datetime:
        """The exclusive end of a month, `as_of` for the running one."""
        return self.as_of if month == self.running_month else self.midnight(add_months(month, 1))


def calendar_date(value: Any) -> date | None:
    """A date field, as printed: its first ten characters."""
    written = text(value)
    return date.fromisoformat(written.strip()[:10]) if written and written.strip() else None


class Rates:
    """Rates by the day they hold from (`fx_rates_daily`): those written by hand win on their day, then those of the
    Central Bank, then the portal's by the day they were seen; these only where none of the bank's is in force.
    """

    def __init__(
        self,
        history: Iterable[tuple[date, Iterable[Row]]],
        reporting_currency: str,
        manual: Iterable[Row] = (),
        bank: Iterable[Row] = (),
    ) -> None:
        self.reporting_currency = currency_code(reporting_currency) or ""
        self._rates: dict[str, dict[date, Decimal]] = {}
        for day, prices in _prices_of_bank(bank).items():
            self._add(day, prices)
        of_bank = {code: sorted(known) for code, known in self._rates.items()}
        for day, rows in history:
            prices = _prices_of_portal(rows)
            in_force = {
                code for code in prices if any(day - BANK_HOLDS < since <= day for since in of_bank.get(code, []))
            }
            self._add(day, prices, but=in_force)
        for row in manual:
            code, written, known = (
                currency_code(row.get("currency")),
                calendar_date(row.get("rate_date")),
                exact(row.get("rate")),
            )
            if code and written and known:
                self._rates.setdefault(code, {})[written] = rounded(Fraction(known), 6)

    def _add(self, day: date, prices: Mapping[str, Fraction], but: Container[str] = ()) -> None:
        own = prices.get(self.reporting_currency)
        if own is None:
            return
        for code, price in prices.items():
            if code not in but:
                self._rates.setdefault(code, {})[day] = rounded(price / own, 6)

    def on(self, currency: str | None, day: date) -> Decimal | None:
        """The rate to the reporting currency; before the first known day the earliest; None if unknown."""
        known = self._rates.get(currency or "")
        if not known:
            return None
        earlier = [seen for seen in known if seen <= day]
        return known[max(earlier) if earlier else min(known)]

    def is_approximate(self, currency: str | None, day: date) -> bool:
        """Whether a day is before the first known one of a foreign currency."""
        known = self._rates.get(currency or "")
        return currency != self.reporting_currency and known is not None and day < min(known)


def _prices_of_portal(rows: Iterable[Row]) -> dict[str, Fraction]:
    prices: dict[str, Fraction] = {}
    for row in sorted(rows, key=lambda row: row["currency"] != "RUR"):
        amount, count = exact(row.get("amount")), exact(row.get("amount_cnt"))
        code = currency_code(row["currency"])
        if code and amount and count:
            prices[code] = Fraction(amount) / Fraction(count)
    return prices


def _prices_of_bank(rows: Iterable[Row]) -> dict[date, dict[str, Fraction]]:
    """Roubles for one unit by day; a rouble is one of itself."""
    prices: dict[date, dict[str, Fraction]] = {}
    for row in rows:
        day, value = calendar_date(row["date"]), exact(str(row["value"]).replace(",", "."))
        if day and value:
            of_day = prices.setdefault(day, {"RUB": Fraction(1)})
            of_day[row["char_code"]] = Fraction(value) / whole(row["nominal"])
    return prices


def currency_code(value: Any) -> str | None:
    """An ISO code; the old RUR is RUB."""
    code = (text(value) or "").strip().upper()
    return {"RUR": "RUB"}.get(code, code) or None
