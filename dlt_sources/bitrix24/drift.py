"""Custom fields that an administrator added, changed or removed since the run before."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import duckdb
import orjson

from dlt_sources.bitrix24 import DATASET

Kind = Literal[
    "added", "removed", "renamed", "retyped", "made multiple", "made single",
    "option added", "option removed", "option renamed",
]  # fmt: skip


@dataclass(frozen=True)
class Definition:
    """One custom field as the portal defines it; `options` are those of a list: text by id."""

    entity_id: str
    field_name: str
    label: str
    user_type: str
    is_multiple: bool
    options: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """One change of one field; `before` and `after` are labels, types or texts of options, None where there is none."""

    entity_id: str
    field_name: str
    change: Kind
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        values = " -> ".join(f"'{value}'" for value in (self.before, self.after) if value)
        return f"{self.entity_id} {self.field_name} {self.change}" + (f": {values}" if values else "")


def changes(old: Iterable[Definition], new: Iterable[Definition]) -> list[Change]:
    """Tell what differs, in the order of entity and field."""
    before = {(field.entity_id, field.field_name): field for field in old}
    after = {(field.entity_id, field.field_name): field for field in new}
    found: list[Change] = []
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            found.append(Change(*key, "added", after=now.label))
        elif was is not None and now is None:
            found.append(Change(*key, "removed", before=was.label))
        elif was is not None and now is not None:
            found += _differences(was, now)
    return found


def _differences(was: Definition, now: Definition) -> Iterator[Change]:
    key = was.entity_id, was.field_name
    if was.label != now.label:
        yield Change(*key, "renamed", was.label, now.label)
    if was.is_multiple != now.is_multiple:
        yield Change(*key, "made multiple" if now.is_multiple else "made single")
    if was.user_type != now.user_type:
        # the portal makes such a field anew, so all its options are others
        yield Change(*key, "retyped", was.user_type, now.user_type)
        return
    for option in sorted({*was.options, *now.options}, key=lambda option: (len(option), option)):
        before, after = was.options.get(option), now.options.get(option)
        if before is None:
            yield Change(*key, "option added", after=after)
        elif after is None:
            yield Change(*key, "option removed", before=before)
        elif before != after:
            yield Change(*key, "option renamed", before, after)


def definitions(warehouse: duckdb.DuckDBPyConnection, loaded_at: str) -> list[Definition]:
    """Return the fields that the run of this instant read; `loaded_at` as raw tables hold it."""
    rows = warehouse.execute(
        f"""
        select
            fields.entity_id,
            fields.field_name,
            coalesce(
                case
                    when json_valid(fields.edit_form_label)
                        then coalesce(json_extract_string(fields.edit_form_label, '$.ru'), fields.edit_form_label)
                    else nullif(fields.edit_form_label, '')
                end,
                fields.list_column_label,
                ''
            ),
            coalesce(fields.user_type_id, ''),
            coalesce(upper(fields.multiple) in ('Y', '1', 'TRUE'), false),
            map_from_entries(list((options.id, coalesce(options.value, ''))) filter (where options.id is not null))
        from "{DATASET}".custom_fields as fields
        left join "{DATASET}".custom_field_options as options
            on options.entity_id = fields.entity_id and options.field_name = fields.field_name
            and options._loaded_at = fields._loaded_at
        where fields._loaded_at = ?
        group by all
        order by all
        """,  # noqa: S608 - the name is ours
        [loaded_at],
    ).fetchall()
    return [
        Definition(entity_id, name, label, user_type, is_multiple, options or {})
        for entity_id, name, label, user_type, is_multiple, options in rows
    ]


def to_json(fields: Iterable[Definition]) -> str:
    """Return definitions as text for the ledger."""
    return orjson.dumps([asdict(field) for field in fields]).decode()


def from_json(text: str) -> list[Definition]:
    """Read what `to_json` wrote."""
    values: list[dict[str, Any]] = orjson.loads(text)
    return [Definition(**value) for value in values]
