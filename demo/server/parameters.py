"""Parameters as PHP sees them: nested query keys, casts, dates.

A PHP array is a `list` when it came as a JSON array, otherwise a `dict` with text keys.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

Params = dict[str, Any]

_BRACKETS = re.compile(r"\[([^\]]*)\]")
_LEADING_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d+)?")
_DAY_FIRST = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})(.*)", re.DOTALL)


def parse_query(query: str) -> Params:
    """Decode `filter[>ID]=10&select[]=ID` into nested dicts; a raw plus sign is a space, `[]` takes the next index.

    A pair is cut at its first `=` before anything is decoded, so an unencoded `filter[>=ID]=1` loses its condition.
    """
    root: Params = {}
    for pair in filter(None, query.split("&")):
        path, value = _decode(pair)
        node = root
        for part in path[:-1]:
            key = part or str(len(node))
            child = node.get(key)
            if not isinstance(child, dict):
                child = node[key] = {}
            node = child
        node[path[-1] or str(len(node))] = value
    return root


@lru_cache(maxsize=4096)  # the commands of a batch repeat most of their pairs
def _decode(pair: str) -> tuple[tuple[str, ...], str]:
    """Return the path of keys and the value of one pair."""
    raw_name, _, raw_value = pair.partition("=")
    name = unquote_plus(raw_name)
    head, _, rest = name.partition("[")
    path = (head, *_BRACKETS.findall(name)) if "]" in rest else (name.replace("[", "_"),)
    return path, unquote_plus(raw_value)


def is_array(value: object) -> bool:
    """Tell whether PHP would call the value an array."""
    return isinstance(value, list | dict)


def array_values(value: Any) -> list[Any]:
    """Return the values of a PHP array; anything else gives an empty list."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def array_items(value: Any) -> list[tuple[str, Any]]:
    """Return key and value pairs of a PHP array; anything else gives an empty list."""
    if isinstance(value, list):
        return [(str(index), item) for index, item in enumerate(value)]
    return list(value.items()) if isinstance(value, dict) else []


def to_php_array(values: dict[str, Any]) -> dict[str, Any] | list[Any]:
    """Encode a map as PHP's json_encode does: a list when its keys are 0..n-1 in order, so `[]` when empty."""
    if all(key == str(index) for index, key in enumerate(values)):
        return list(values.values())
    return values


def to_int(value: Any) -> int:
    """Cast as `(int)`: the leading number of a text, 1 for a non-empty array, 0 for what is no number."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    number = to_number(value)
    return int(number) if math.isfinite(number) else 0


def to_number(value: Any) -> float:
    """Cast as `(float)`, with the same rules."""
    if is_array(value):
        return 1 if value else 0
    if isinstance(value, int | float):
        return value
    found = _LEADING_NUMBER.match(value) if isinstance(value, str) else None
    return (float if found[1] else int)(found[0]) if found else 0


def to_bool(value: Any) -> bool:
    """Cast as `(bool)`: the texts "" and "0" are false, "N" and "false" are true."""
    return value not in (None, False, 0, "", "0") and value != [] and value != {}


def to_text(value: Any) -> str:
    """Cast as `(string)`."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    return "Array" if is_array(value) else str(value)


def parse_instant(value: Any, zone: tzinfo) -> float | None:
    """Read a date as a Unix time; without an offset it is in the portal's zone.

    Returns:
        None for an empty value, NaN (which equals and orders with nothing) for what cannot be read.
    """
    if value in (None, "", False) or value == {}:
        return None
    if not isinstance(value, str):
        return math.nan
    text = value.strip()
    if day_first := _DAY_FIRST.fullmatch(text):
        day, month, year, rest = day_first.groups()
        text = f"{year}-{month}-{day}{rest}"
    try:
        moment = datetime.fromisoformat(text.replace(" +", "+"))
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
