"""Reports that advertising cabinets export, read as lines of `ad_spend`; headers are those of the Russian interface.

Which spellings are seen and which are guessed is told in docs/inputs.md.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

DECORATION = re.compile(r"\(.*?\)|,.*$|[\"«»]|[₽$€]")
CURRENCIES = {"руб": "RUB", "₽": "RUB", "rub": "RUB", "$": "USD", "usd": "USD", "€": "EUR", "eur": "EUR", "₸": "KZT"}
MONTHS = ("янв", "фев", "мар", "апр", "ма", "июн", "июл", "авг", "сен", "окт", "ноя", "дек")
WRITTEN_DAY = re.compile(r"(\d{1,2}) ([а-я]+)\.? (\d{4})(?: ?г\.?)?")
SUMS = ("итого", "всего", "total")
NOTHING = {"", "-", "--", "—", "–"}
DATES = ("дата", "день")
CAMPAIGN_IDS = ("№ кампании", "id кампании", "номер кампании", "идентификатор кампании", "код кампании")
CAMPAIGNS = ("кампания", "название кампании", "рекламная кампания")
IMPRESSIONS = ("показы", "показов")
CLICKS = ("клики", "переходы", "кликов")


@dataclass(frozen=True)
class Cabinet:
    """One advertising system.

    Attributes:
        name: in the column source_system; the map of channels as shipped has a channel of the same key.
        cost: its own words for what was spent.
        mark: a column that tells it from a system with the same words, empty if none is needed.
    """

    name: str
    title: str
    cost: tuple[str, ...]
    mark: str = ""

    def may_have_made(self, plain: Collection[str]) -> bool:
        """Whether a report with these columns may be this system's."""
        return any(word in plain for word in self.cost) and (not self.mark or self.mark in plain)


CURRENCY_CODE = "код валюты"
CABINETS = (
    Cabinet("google_ads", "Google Ads", ("стоимость", "расход", "расходы"), CURRENCY_CODE),
    Cabinet("google_ads", "Google Ads", ("стоимость",)),
    Cabinet("yandex_direct", "Yandex Direct", ("расход", "расходы")),
    Cabinet("vk_ads", "VK Ads", ("потрачено", "потрачено всего", "потрачено за период", "списано")),
)


@dataclass(frozen=True)
class Export:
    """A recognised report.

    Attributes:
        places: column of `ad_spend` -> place in the file.
        currency: told by the header of the cost, empty otherwise.
    """

    cabinet: Cabinet
    places: Mapping[str, int]
    currency: str

    def cells(self, values: Sequence[str]) -> dict[str, str] | None:
        """A row of the report as one of `ad_spend`; None for lines of totals and lines without a cost."""
        if values[0].lower().startswith(SUMS) or values[self.places["spend_date"]].lower().startswith(SUMS):
            return None
        found = {column: values[place] for column, place in self.places.items()}
        found |= {name: "0" for name in ("impressions", "clicks", "cost") if found.get(name) in NOTHING}
        found["spend_date"] = _day(found["spend_date"])
        if set(found.values()) <= {"", "0"}:
            return None
        return {
            **found,
            "currency": found.get("currency") or self.currency,
            "source_system": self.cabinet.name,
            "channel_key": found.get("channel_key") or self.cabinet.name,
        }


def recognise(names: Sequence[str]) -> Export | None:
    """The export that has these column names, if they are those of a cabinet."""
    plain = [_plain(name) for name in names]
    for cabinet in CABINETS:
        if not cabinet.may_have_made(plain):
            continue
        places = {
            "spend_date": _place(plain, DATES),
            "campaign_id": _place(plain, CAMPAIGN_IDS),
            "campaign_name": _place(plain, CAMPAIGNS),
            "impressions": _place(plain, IMPRESSIONS),
            "clicks": _place(plain, CLICKS),
            "cost": _place(plain, cabinet.cost),
            "currency": _place(plain, ("валюта", CURRENCY_CODE)),
            # what a person may add to the report
            "account": _place(plain, ("account", "аккаунт", "кабинет", "логин")),
            "utm_campaign": _place(plain, ("utm_campaign", "utm campaign")),
            "channel_key": _place(plain, ("channel_key",)),
        }
        found = {column: place for column, place in places.items() if place is not None}
        if {"spend_date", "cost"} <= found.keys() and found.keys() & {"impressions", "clicks"}:
            return Export(cabinet, found, _currency(names[found["cost"]]))
    return None


def looks_like(names: Sequence[str]) -> Cabinet | None:
    """The cabinet of a report that was not built by days."""
    plain = {_plain(name) for name in names}
    if plain & set(IMPRESSIONS) and plain & set(CLICKS) and not plain & set(DATES):
        return next((cabinet for cabinet in CABINETS if cabinet.may_have_made(plain)), None)
    return None


def _place(plain: Sequence[str], spellings: Sequence[str]) -> int | None:
    return next((plain.index(spelling) for spelling in spellings if spelling in plain), None)


def _plain(name: str) -> str:
    """A column's name without its unit: "Расход (руб.)" and "Расход, ₽" are both "расход"."""
    return " ".join(DECORATION.sub(" ", name.lower().replace("ё", "е").replace("\u00a0", " ")).split())


def _currency(name: str) -> str:
    """The currency that a header names, as in "Расход (руб.)"."""
    return next((code for sign, code in CURRENCIES.items() if sign in name.lower()), "")


def _day(text: str) -> str:
    """2026-05-01 from "1 мая 2026 г."; other texts as they are."""
    written = WRITTEN_DAY.fullmatch(text.lower())
    if not written:
        return text
    day, name, year = written.groups()
    month = next((number for number, start in enumerate(MONTHS, start=1) if name.startswith(start)), None)
    return text if month is None else f"{year}-{month:02d}-{int(day):02d}"
