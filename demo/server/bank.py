"""The bank's XML beside the portal, under `/cbr/`: windows-1251, decimal commas, dates as dd.mm.yyyy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from xml.sax.saxutils import escape

from demo.world.bank import LISTED
from demo.world.model import Row

NAMES = {"USD": "Доллар США", "EUR": "Евро", "KZT": "Тенге", "CNY": "Юань", "TRY": "Турецких лир"}
_HEAD = '<?xml version="1.0" encoding="windows-1251"?>'


def daily(rates: list[Row], asked: Mapping[str, str]) -> bytes:
    """Return what XML_daily.asp answers: all rates in force on `date_req`, else the newest."""
    day = _day(asked.get("date_req"), date.max)
    newest = max((rate["date"] for rate in rates if rate["date"] <= day.isoformat()), default="")
    rows = "".join(
        f'<Valute ID="{LISTED[rate["char_code"]][0]}"><CharCode>{rate["char_code"]}</CharCode>'
        f"<Nominal>{rate['nominal']}</Nominal><Name>{escape(NAMES[rate['char_code']])}</Name>"
        f"<Value>{rate['value']}</Value></Valute>"
        for rate in rates
        if rate["date"] == newest
    )
    printed = f' Date="{_printed(newest)}"' if newest else ""
    return f'{_HEAD}<ValCurs{printed} name="Foreign Currency Market">{rows}</ValCurs>'.encode("cp1251")


def dynamic(rates: list[Row], asked: Mapping[str, str]) -> bytes:
    """Return what XML_dynamic.asp answers: the rates of the currency `VAL_NM_RQ` of a stretch of days."""
    first, last = (_day(asked.get(name), date.min) for name in ("date_req1", "date_req2"))
    wanted = asked.get("VAL_NM_RQ", "")
    code = next((code for code, (bank_id, _) in LISTED.items() if bank_id == wanted), "")
    rows = "".join(
        f'<Record Date="{_printed(rate["date"])}" Id="{wanted}"><Nominal>{rate["nominal"]}</Nominal>'
        f"<Value>{rate['value']}</Value></Record>"
        for rate in rates
        if rate["char_code"] == code and first.isoformat() <= rate["date"] <= last.isoformat()
    )
    return f'{_HEAD}<ValCurs name="Foreign Currency Market Dynamic">{rows}</ValCurs>'.encode("cp1251")


def _printed(day: str) -> str:
    return f"{date.fromisoformat(day):%d.%m.%Y}"


def _day(text: str | None, otherwise: date) -> date:
    try:
        return datetime.strptime(text or "", "%d/%m/%Y").date()
    except ValueError:
        return otherwise
