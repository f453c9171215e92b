"""Mart `campaign_engagement` (3.25)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from .channels import normal
from .values import (
    ZERO,
    Rates,
    Row,
    amount_of,
    as_money,
    calendar_date,
    converted,
    currency_code,
    first_of_month,
    ratio,
    text,
    whole,
)

MartRow = dict[str, Any]

SMS = "sms"
NO_HOUR = -1


def campaign_engagement(
    messages: Iterable[Row], visits: Sequence[Row], roi: Iterable[Mapping[str, Any]], rates: Rates, last_month: date
) -> list[MartRow]:
    """Mailings up to the running month, and what their tag brought in the month they were sent in."""
    results = _results(roi)
    seen: Counter[tuple[date, str]] = Counter()
    for row in visits:
        if day := calendar_date(row.get("date")):
            seen[first_of_month(day), normal(row.get("utm_campaign"))] += whole(row.get("visits"))
    rows = []
    for row in messages:
        sent_on = calendar_date(row["send_date"])
        assert sent_on
        if first_of_month(sent_on) > last_month:
            continue
        tag = normal(row.get("utm_campaign"))
        at = first_of_month(sent_on), tag
        rows.append(
            {
                "send_date": sent_on,
                "channel": row["channel"],
                "campaign": row["campaign"],
                "variant": row.get("variant") or "",
                "send_hour": whole(row["send_hour"]) if text(row.get("send_hour")) else NO_HOUR,
                **_counts(row),
                "spent": _spent(row, sent_on, rates),
                "visits": (seen[at] if tag else 0) if visits else None,
                **(results[at] if tag else _nothing()),
            }
        )
    return rows


def _nothing() -> dict[str, Any]:
    return {"leads": 0, "deals_won": 0, "revenue": ZERO}


def _results(roi: Iterable[Mapping[str, Any]]) -> dict[tuple[date, str], dict[str, Any]]:
    """Leads, sales and revenue by month and campaign, of all channels together."""
    results: dict[tuple[date, str], dict[str, Any]] = defaultdict(_nothing)
    for row in roi:
        if (row["attribution_model"], row["date_basis"]) == ("last_touch", "event"):
            for column, value in results[row["period_month"], row["utm_campaign"]].items():
                results[row["period_month"], row["utm_campaign"]][column] = value + row[column]
    return results


def _counts(row: Row) -> MartRow:
    sent, delivered, clicked = (whole(row.get(name)) for name in ("sent", "delivered", "clicked"))
    opened = None if row["channel"] == SMS else whole(row.get("opened"))
    return {
        "sent": sent,
        "delivered": delivered,
        "opened": opened,
        "clicked": clicked,
        "unsubscribed": whole(row.get("unsubscribed")),
        "bounced": whole(row.get("bounced")),
        "delivery_rate": ratio(delivered, sent),
        "open_rate": ratio(opened, delivered),
        "click_rate": ratio(clicked, delivered),
        "ctor": ratio(clicked, opened),
    }


def _spent(row: Row, day: date, rates: Rates) -> Decimal | None:
    if not row.get("spent"):
        return as_money(0)
    return converted(
        rates.on(currency_code(row.get("currency")) or rates.reporting_currency, day), amount_of(row["spent"])
    )
