"""What a row looks like in an answer: selected columns, and the camelCase view of `crm.item.list`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from sys import intern
from typing import Any

from demo.server.fields import Entity, Field, Kind, item_name, to_camel, to_upper_snake
from demo.server.filters import Row
from demo.server.parameters import to_int, to_number

Render = Callable[[Sequence[Row]], list[Row]]

ACTIVITY_EXTRAS = frozenset({"BINDINGS", "COMMUNICATIONS", "FILES"})  # come only if named
CONTACT_KINDS = ("PHONE", "EMAIL", "WEB", "IM", "LINK")
_TASK_FILES = {"UF_CRM_TASK", "UF_TASK_WEBDAV_FILES", "UF_MAIL_MESSAGE"}
_TASK_OBJECTS = {"GROUP_ID": "group", "CREATED_BY": "creator", "RESPONSIBLE_ID": "responsible"}


def old_list(select: Sequence[str], custom: Collection[str], extras: Collection[str] = CONTACT_KINDS) -> Render:
    """Select as old CRM lists do.

    `*` is every column but `UF_*` and the extras, `UF_*` every custom field; the default is both. Extras (multi-fields)
    come only if named, and not at all when empty.
    """
    names = dict.fromkeys(select or ("*", "UF_*"))
    named_extras = [name for name in names if name in extras]
    with_custom = "UF_*" in names
    if "*" in names:
        dropped = set(extras)

        def whole(rows: Sequence[Row]) -> list[Row]:
            return [
                {
                    key: value
                    for key, value in row.items()
                    if key not in dropped and (with_custom or key in names or not key.startswith("UF_"))
                }
                | {key: row[key] for key in named_extras if row.get(key)}
                for row in rows
            ]

        return whole
    columns = [name for name in names if name not in extras]
    if with_custom:
        columns += [name for name in custom if name not in names]

    pick = _picker(columns)

    def chosen(rows: Sequence[Row]) -> list[Row]:
        answer = [pick(row) for row in rows]
        if named_extras:
            for rendered, row in zip(answer, rows, strict=True):
                rendered.update({key: row[key] for key in named_extras if row.get(key)})
        return answer

    return chosen


def _picker(columns: Sequence[str]) -> Callable[[Row], Row]:
    """Return a function that takes those of the columns that a row has; rows that have all are taken faster."""

    def some(row: Row) -> Row:
        return {key: row[key] for key in columns if key in row}

    columns = [intern(name) for name in columns]  # the keys of rows are interned too, which makes them found faster
    if len(columns) < 2:
        return some
    values = itemgetter(*columns)

    def pick(row: Row) -> Row:
        try:
            return dict(zip(columns, values(row), strict=True))
        except KeyError:
            return some(row)

    return pick


def as_is(rows: Sequence[Row]) -> list[Row]:
    """Show rows whole."""
    return list(rows)


def plain(select: Sequence[str]) -> Render:
    """Show the named columns; an empty selection or `*` shows all."""
    names = set(select)
    if not names or "*" in names:
        return as_is
    return lambda rows: [{key: value for key, value in row.items() if key in names} for row in rows]


def tasks(select: Sequence[str], keys: Mapping[str, Field]) -> Render:
    """Select UPPER_SNAKE names, answer camelCase; the three custom fields come together."""
    names = {"ID", *(to_upper_snake(name) for name in select)}
    if not select or "*" in select:
        return as_is
    if names & _TASK_FILES:
        names |= _TASK_FILES
    wanted = {keys[name].key for name in names if name in keys} | {to_camel(name) for name in names - keys.keys()}
    wanted |= {_TASK_OBJECTS[name] for name in names if name in _TASK_OBJECTS}
    return lambda rows: [{key: value for key, value in row.items() if key in wanted} for row in rows]


def product_row_upper(row: Row) -> Row:
    """Show a product row as the old methods do: UPPER_CASE keys, mixed types."""
    upper = {to_upper_snake(key): value for key, value in row.items()}
    for key in ("ID", "OWNER_ID"):
        upper[key] = str(upper[key])
    if "PRICE_ACCOUNT" in upper:
        upper["PRICE_ACCOUNT"] = f"{to_number(upper['PRICE_ACCOUNT']):.2f}"
    return upper


class ItemView:
    """The universal view of one entity: names and types of `crm.item.list`.

    Args:
        entity: the entity as its old list shows it.
        custom: its custom fields by code.
        linked: returns the ids of a deal's contacts, or of a contact's companies.
    """

    def __init__(
        self, entity: Entity, custom: Mapping[str, Field], linked: Callable[[Row], list[int]] | None = None
    ) -> None:
        self._linked = linked
        self._type_id = entity.type_id
        self._columns = {key: field for key, field in entity.fields.items() if field.kind is not Kind.CONTACTS}
        self._custom = custom
        self._names = {key: item_name(key) for key in (*self._columns, *custom)}
        # custom fields are known under both spellings; the answer's spelling is the caller's choice
        self.fields: dict[str, Field] = {
            **{self._names[key]: field for key, field in self._columns.items()},
            **{self._names[key]: field for key, field in custom.items()},
            **custom,
        }

    def name(self, key: str, original_custom_names: bool) -> str:
        """Return the answer's name of a row's key."""
        return key if original_custom_names and key in self._custom else self._names[key]

    def describe(self) -> Iterable[tuple[str, str, Field]]:
        """Yield (camelCase name, original name, field) of every field."""
        for key, field in (*self._columns.items(), *self._custom.items()):
            yield self._names[key], key, field

    def render(self, select: Sequence[str], original_custom_names: bool) -> Render:
        """Select as `crm.item.list` does: the default is `*`; multi-fields come with `*` alone."""
        whole = not select or "*" in select
        wanted = set(select)
        converters = [
            (key, self.name(key, original_custom_names), self._converter(key, field))
            for key, field in (*self._columns.items(), *self._custom.items())
            if whole or self._names[key] in wanted or key in self._custom.keys() & wanted
        ]
        extras = {"entityTypeId", "contactIds", "companyIds", "observers"} if whole else wanted
        linked, linked_name = self._linked, "companyIds" if self._type_id == _CONTACT else "contactIds"

        def show(rows: Sequence[Row]) -> list[Row]:
            answer = []
            for row in rows:
                item = {name: convert(row[key]) for key, name, convert in converters if key in row}
                if "entityTypeId" in extras:
                    item["entityTypeId"] = self._type_id
                if "observers" in extras:
                    item["observers"] = []
                if linked is not None:
                    if linked_name in extras:
                        item[linked_name] = linked(row)
                elif "contactIds" in extras and "CONTACT_ID" in row:
                    item["contactIds"] = [contact] if (contact := to_int(row["CONTACT_ID"])) else []
                if whole and self._type_id in _WITH_COMMUNICATIONS:
                    item.update(_communications(row))
                answer.append(item)
            return answer

        return show

    def _converter(self, key: str, field: Field) -> Callable[[Any], Any]:
        if key in self._custom:
            return _several if field.multiple else _or_null
        return _VALUES[field.kind]


_CONTACT = 3
_WITH_COMMUNICATIONS = (1, 3, 4)


class NativeItemView:
    """The universal view of an entity whose rows already are as `crm.item.list` prints them.

    Args:
        entity: the entity; custom: its custom fields by code, which are kept under these codes.
    """

    def __init__(self, entity: Entity, custom: Mapping[str, Field]) -> None:
        self._columns = entity.fields
        self._custom = custom
        self._names = {code: item_name(code) for code in custom}
        self.fields: dict[str, Field] = {
            **entity.fields,
            **{self._names[code]: field for code, field in custom.items()},
            **custom,
        }

    def describe(self) -> Iterable[tuple[str, str, Field]]:
        """Yield (camelCase name, original name, field) of every field."""
        for name, field in self._columns.items():
            yield name, to_upper_snake(name), field
        for code, field in self._custom.items():
            yield self._names[code], code, field

    def render(self, select: Sequence[str], original_custom_names: bool) -> Render:
        """Select as `crm.item.list` does: the default is `*`."""
        wanted = None if not select or "*" in select else set(select)
        names = {} if original_custom_names else self._names

        def show(rows: Sequence[Row]) -> list[Row]:
            return [
                {
                    names.get(key, key): value
                    for key, value in row.items()
                    if wanted is None or key in wanted or self._names.get(key) in wanted
                }
                for row in rows
            ]

        return show


_EXACT = 2**53  # PHP keeps larger amounts as floats, and so does JSON


def _json_number(value: Any) -> int | float:
    number = to_number(value)
    return int(number) if number == int(number) and abs(number) < _EXACT else number


def _or_null(value: Any) -> Any:
    return None if value == "" or value is False else value


def _several(value: Any) -> Any:
    return value or []


def _unchanged(value: Any) -> Any:
    return value


_VALUES: dict[Kind, Callable[[Any], Any]] = {
    Kind.INTEGER: to_int,
    Kind.NUMBER: _json_number,
    Kind.DATE: _or_null,
    Kind.TIME: _or_null,
    Kind.CODE: _or_null,
    Kind.TEXT: _unchanged,
    Kind.FLAG: _unchanged,
}


def _communications(row: Row) -> Row:
    """Return `fm` and the flat texts beside it (`phone`, `phoneWork`, `email`, `emailHome`, ...)."""
    flat: Row = {}
    entries: list[Row] = []
    for kind in ("PHONE", "EMAIL"):
        for entry in row.get(kind) or ():
            value = entry["VALUE"]
            flat.setdefault(kind.lower(), value)
            flat.setdefault(kind.lower() + entry["VALUE_TYPE"].capitalize(), value)
            entries.append(
                {
                    "id": to_int(entry["ID"]),
                    "valueType": entry["VALUE_TYPE"],
                    "value": value,
                    "typeId": entry["TYPE_ID"],
                }
            )
    return {**flat, "fm": entries}
