"""Filters: prefixes of keys, and the answers of each method to what it does not know."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from demo.server.errors import invalid_argument
from demo.server.fields import Field, Fields, Kind
from demo.server.parameters import (
    array_items,
    array_values,
    is_array,
    parse_instant,
    to_int,
    to_number,
    to_text,
)

Row = dict[str, Any]
Predicate = Callable[[Row], bool]

# prefix -> (comparison, negated)
_PREFIXES: dict[str, tuple[str, bool]] = {
    "": ("in", False),
    "=": ("in", False),
    "@": ("in", False),
    "!": ("in", True),
    "!=": ("in", True),
    "!@": ("in", True),
    ">": ("gt", False),
    ">=": ("ge", False),
    "<": ("lt", False),
    "<=": ("le", False),
    "%": ("contains", False),
    "!%": ("contains", True),
    "=%": ("like", False),
    "%=": ("like", False),
    "!=%": ("like", True),
    "!%=": ("like", True),
    "><": ("between", False),
    "!><": ("between", True),
}
RANGES = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}


@dataclass(frozen=True)
class FilterRules:
    """What one method understands.

    `prefixes` of keys, longest first. `strict` methods refuse unknown fields and bad values with 400; the others
    drop an unknown field's condition in silence and cast bad values (an array against an integer becomes 1).
    """

    prefixes: tuple[str, ...]
    strict: bool = False
    groups: bool = False

    @classmethod
    def of(cls, prefixes: str, **traits: bool) -> FilterRules:
        """Build from prefixes parted by spaces; the empty prefix is always understood."""
        return cls((*sorted(prefixes.split(), key=len, reverse=True), ""), **traits)

    def split(self, key: str) -> tuple[str, str]:
        """Return the prefix and the field's name; a prefix unknown here stays in the name."""
        prefix = next(prefix for prefix in self.prefixes if key.startswith(prefix))
        return prefix, key[len(prefix) :]


OLD_CRM = FilterRules.of("= ! != > >= < <= @ !@ % =% %=")
ITEMS = FilterRules.of("= ! != > >= < <= @ !@ % =% %= !% !=% !%=", strict=True, groups=True)
STAGE_HISTORY = FilterRules.of("= > >= < <= @ !@", strict=True)
PRODUCT_ROWS = FilterRules.of("= != > >= < <= @ % =% %= !% !=% !%=", strict=True)
USERS = FilterRules.of("= ! != > >= < <= @ !@ % =% %= !% !=% !%=")
CALLS = FilterRules.of("= ! != > >= < <= % !% >< !><")
TASKS = FilterRules.of("= ! > >= < <= %")
TIME_ENTRIES = FilterRules.of("! > >= < <=")
EXACT = FilterRules.of("")


@dataclass(frozen=True)
class Condition:
    """One comparison with values already cast to the field's kind."""

    field: Field
    comparison: str
    negated: bool
    values: tuple[Any, ...]

    def predicate(self, zone: tzinfo) -> Predicate:
        """Return a test of one row."""
        test = self._test()
        read, key, negated = _caster(self.field.kind, zone), self.field.key, self.negated
        if self.field.multiple:
            return lambda row: any(test(read(value)) for value in _several(row.get(key))) is not negated
        return lambda row: test(read(row.get(key))) is not negated

    def _test(self) -> Callable[[Any], bool]:
        values = self.values
        first = values[0] if values else None
        match self.comparison:
            case "in":
                # a tuple finds NaN by identity, which would make an unreadable date equal to itself
                accepted = frozenset(value for value in values if value == value)
                return lambda value: value in accepted
            case "contains":
                return lambda value: str(first).casefold() in str(value).casefold()
            case "like":
                pattern = re.compile(".*".join(map(re.escape, str(first).split("%"))), re.IGNORECASE | re.DOTALL)
                return lambda value: pattern.fullmatch(str(value)) is not None
            case "between":
                low, high = (*values, None, None)[:2]
                return lambda value: None not in (value, low, high) and low <= value <= high
            case _:
                compare = RANGES[self.comparison]
                return lambda value: value is not None and first is not None and bool(compare(value, first))


@dataclass(frozen=True)
class AnyOf:
    """Groups of conditions, one of which must hold whole."""

    groups: tuple[tuple[Clause, ...], ...]

    def predicate(self, zone: tzinfo) -> Predicate:
        """Return a test of one row."""
        groups = [[clause.predicate(zone) for clause in group] for group in self.groups]
        return lambda row: any(all(test(row) for test in group) for group in groups)


Clause = Condition | AnyOf


def compile_filter(raw: Any, fields: Fields, rules: FilterRules, zone: tzinfo) -> tuple[Clause, ...]:
    """Turn a filter of a request into conditions that must all hold.

    Raises:
        RestError: 400 INVALID_ARG_VALUE on an unknown field or a bad value, from strict methods only.
    """
    clauses: list[Clause] = []
    if rules.groups and _is_or(raw):
        return (_group(raw, fields, rules, zone),)
    for key, value in array_items(raw):
        if rules.groups and key.isdigit():
            clauses.append(_group(value, fields, rules, zone))
            continue
        if rules.groups and key == "logic":
            continue
        prefix, name = rules.split(key)
        field = fields.get(name)
        if field is not None:
            clauses.append(_condition(field, prefix, value, rules, zone))
        elif rules.strict:
            raise invalid_argument(f"Invalid filter: field '{name}' is not allowed in filter")
    return tuple(clauses)


def _is_or(raw: Any) -> bool:
    return isinstance(raw, Mapping) and str(raw.get("logic")).upper() == "OR"


def _group(raw: Any, fields: Fields, rules: FilterRules, zone: tzinfo) -> Clause:
    parts = [
        compile_filter(part, fields, rules, zone) if key.isdigit() else compile_filter({key: part}, fields, rules, zone)
        for key, part in array_items(raw)
        if key != "logic"
    ]
    return AnyOf(tuple(parts)) if _is_or(raw) else AnyOf((tuple(clause for part in parts for clause in part),))


def _condition(field: Field, prefix: str, value: Any, rules: FilterRules, zone: tzinfo) -> Condition:
    comparison, negated = _PREFIXES[prefix]
    if comparison in ("contains", "like") and field.kind in (Kind.CODE, Kind.INTEGER):
        comparison = "in"
    takes_array = comparison in ("in", "between")
    if is_array(value) and not takes_array and rules.strict:
        raise invalid_argument(f"Invalid filter: value of '{field.key}' must be a string or a number")
    cast = _caster(field.kind, zone)
    values = tuple(cast(item) for item in (array_values(value) if is_array(value) and takes_array else [value]))
    if rules.strict and any(item != item for item in values):
        raise invalid_argument(f"Invalid filter: value of '{field.key}' is not a date")
    return Condition(field, comparison, negated, values)


def _several(value: Any) -> list[Any]:
    """Return the values of a multiple field; an empty one may be `false`, null or []."""
    return value if isinstance(value, list) and value else [None]


def _flag(value: Any) -> str:
    return "Y" if value in (True, 1, "1", "Y", "y", "true") else "N"


def _caster(kind: Kind, zone: tzinfo) -> Callable[[Any], Any]:
    match kind:
        case Kind.INTEGER:
            return to_int
        case Kind.NUMBER:
            return to_number
        case Kind.FLAG:
            return _flag
        case Kind.DATE | Kind.TIME:
            return lambda value: parse_instant(value, zone)
        case _:
            return to_text


def sort_key(field: Field, zone: tzinfo) -> Callable[[Row], Any]:
    """Return a key function that puts empty values first."""
    read, key = _caster(field.kind, zone), field.key

    def of_row(row: Row) -> tuple[bool, Any]:
        value = read(row.get(key))
        return (value is not None, value if value is not None else 0)

    return of_row
