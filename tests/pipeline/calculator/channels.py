"""Advertising channels of leads and deals (2.4)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .values import Row, text

UNKNOWN = "unknown"
UNMAPPED = "unmapped"
NOT_ALLOCATED = "not_allocated"

_UTM_SOURCES = (
    ("yandex.*|ya|direct", "", "yandex_direct"),
    ("google.*|adwords", "", "google_ads"),
    ("vk.*", ".*(remarketing|retarget).*", "vk_remarketing"),
    ("vk.*", "", "vk_ads"),
    ("mytarget.*", "", "mytarget"),
    ("telegram.*|tg", "", "telegram"),
    ("e-?mail|newsletter", "", "email"),
)
_SOURCE_IDS = (
    ("call", "call"),
    ("callback", "callback"),
    ("email", "email"),
    ("web", "site"),
    ("webform", "webform"),
    ("store", "store"),
    ("advertising", "advertising"),
    ("partner", "partner"),
    ("recommendation", "recommendation"),
    ("trade_show", "trade_show"),
    ("rc_generator", "rc_generator"),
    ("other", "other"),
    (r"\d+\|.*", "openline"),
)


def _default_map() -> list[dict[str, str]]:
    rules = [(10 * number, "utm_source", *rule) for number, rule in enumerate(_UTM_SOURCES, start=1)]
    rules += [
        (100 + 10 * number, "source_id", pattern, "", key) for number, (pattern, key) in enumerate(_SOURCE_IDS, start=1)
    ]
    return [
        {
            "priority": str(priority),
            "match_field": field,
            "pattern": pattern,
            "utm_medium_pattern": medium,
            "channel_key": channel,
        }
        for priority, field, pattern, medium, channel in rules
    ]


DEFAULT_CHANNEL_MAP = _default_map()


@dataclass(frozen=True)
class _Rule:
    field: str
    pattern: re.Pattern[str]
    medium: re.Pattern[str] | None
    channel_key: str


def normal(value: object) -> str:
    """Lower-cased and trimmed; '' if empty."""
    return (text(value) or "").strip().lower()


class ChannelMap:
    """The first matching rule by priority gives the channel; own rows join the default ones, or replace them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        by_priority = {int(row["priority"]): row for row in (*DEFAULT_CHANNEL_MAP, *rows)}
        ordered = [by_priority[priority] for priority in sorted(by_priority)]
        self._rules = [
            _Rule(
                row["match_field"],
                re.compile(row["pattern"]),
                re.compile(row["utm_medium_pattern"]) if row.get("utm_medium_pattern") else None,
                row["channel_key"],
            )
            for row in ordered
        ]

    @property
    def reads_lines(self) -> bool:
        """Whether any rule asks for the line of a call."""
        return any(rule.field == "portal_number" for rule in self._rules)

    def _find(self, field: str, value: str, medium: str = "") -> str | None:
        for rule in self._rules:
            suits_medium = rule.medium is None or rule.medium.fullmatch(medium)
            if rule.field == field and rule.pattern.fullmatch(value) and suits_medium:
                return rule.channel_key
        return None

    def channel(self, row: Row, line: str | None = None) -> str:
        """Channel of a lead's or deal's row; `line` is the portal number of the call it was born from."""
        medium = normal(row.get("utm_medium"))
        if source := normal(row.get("utm_source")):
            return self._find("utm_source", source, medium) or UNMAPPED
        if line and (by_line := self._find("portal_number", normal(line), medium)):
            return by_line
        if source_id := normal(row.get("source_id")):
            return self._find("source_id", source_id, medium) or UNMAPPED
        return UNKNOWN
