"""The portal's dictionaries and counts, asked from the portal itself or from what is loaded of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb
import orjson

from dlt_sources.bitrix24.client import BitrixClient, Command
from dlt_sources.bitrix24.entities import ENTITIES, FIELDS_OF, Entity, Family, process_entities
from dlt_sources.bitrix24.records import to_column_name
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Reader, SingleCall, Walk

DICTIONARIES = ("statuses", "pipelines", "users", "departments", "custom_fields", "currencies", "process_types")
RAW = "raw_bitrix24"


class Question(NamedTuple):
    """How many rows of a list match all conditions; keys as in the portal's filters, such as `>COMPANY_ID`."""

    table: str
    where: Mapping[str, Any]


Answers = Callable[[Sequence[Question]], list[int]]


@dataclass
class Portal:
    """What is known of a portal: rows of its dictionaries, and somebody to ask for counts."""

    origin: str
    count: Answers
    dictionaries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    warehouse: duckdb.DuckDBPyConnection | None = None

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a dictionary; keys are those of the raw table, values text."""
        return self.dictionaries.get(name, [])

    def counts(self, table: str, wheres: Sequence[Mapping[str, Any]]) -> list[int]:
        """Rows of one list for each set of conditions."""
        return self.count([Question(table, where) for where in wheres])


def survey_portal(client: BitrixClient) -> Portal:
    """Read the dictionaries from the portal; counts are asked as `total` of its lists."""
    portal = Portal(f"портал {client.host}", lambda questions: count_there(client, questions))
    walks: list[Walk] = []
    table_of: dict[int, Entity] = {}

    def plan(entities: Sequence[Entity]) -> None:
        for entity in entities:
            if entity.table in DICTIONARIES:
                walk = KeysetWalk(entity) if entity.family is Family.KEYED_DICTIONARY else OffsetWalk(entity)
                walks.append(walk)
                table_of[id(walk)] = entity

    plan(ENTITIES)
    for brought in Reader(client).read(walks):
        for walk, rows in brought:
            entity = table_of[id(walk)]
            read = [orjson.loads(bytes(row)) for row in rows]
            portal.dictionaries.setdefault(entity.table, []).extend(
                {to_column_name(key): _text(value) for key, value in row.items()} | dict(entity.constants)
                for row in read
                if not _is_skipped(entity, row)
            )
            if entity.table == "process_types":
                plan(process_entities(read))
    return portal


def _is_skipped(entity: Entity, row: Mapping[str, Any]) -> bool:
    named = {to_column_name(key): value for key, value in row.items()}
    return any(named.get(column) in values for column, values in entity.skip.items())


def count_there(
    client: BitrixClient, questions: Sequence[Question], progress: Callable[[int, int], None] | None = None
) -> list[int]:
    """Ask the portal; a list that it does not know, or refuses, has 0 rows."""
    methods = {entity.table: entity.method for entity in ENTITIES if not entity.part}
    calls = [
        SingleCall(
            Command(methods[table], {"filter": dict(where), "select": ["ID"], "order": {"ID": "ASC"}, "start": 0}),
            optional=True,
        )
        for table, where in questions
    ]
    for _ in Reader(client).read(calls):
        if progress:
            progress(sum(call.done for call in calls), len(calls))
    return [(call.answer.total or 0) if call.answer else 0 for call in calls]


def survey_warehouse(con: duckdb.DuckDBPyConnection, as_of: str) -> Portal:
    """Read the same from the raw tables."""
    portal = Portal(f"загруженные данные на {as_of} UTC", lambda questions: count_here(con, questions), warehouse=con)
    for table in DICTIONARIES:
        answer = con.execute(f"select * from {RAW}.{table} where _deleted_at is null")  # noqa: S608 - our own name
        names = [column[0] for column in answer.description or ()]
        portal.dictionaries[table] = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    return portal


def count_here(con: duckdb.DuckDBPyConnection, questions: Sequence[Question]) -> list[int]:
    """Count the loaded rows that live in the portal."""
    counts = []
    for table, where in questions:
        known = {row[0] for row in con.execute(f"describe {RAW}.{table}").fetchall()}
        conditions, values = ["_deleted_at is null"], []
        for key, value in where.items():
            mark, column = _parted(key)
            if column not in known:  # a custom field that no row has yet
                conditions.append("false")
                continue
            conditions.append(_CONDITIONS[mark].format(column=f'"{column}"'))
            values += [] if mark == "!" else [str(value)]
        row = con.execute(
            f"select count(*) from {RAW}.{table} where {' and '.join(conditions)}",  # noqa: S608 - our own names
            values,
        ).fetchone()
        counts.append(int(row[0]) if row else 0)
    return counts


# how the portal reads a key of a filter; "!" is asked with an empty value only, which is "filled"
_CONDITIONS = {
    "": "{column} = ?",
    ">": "try_cast({column} as decimal(38, 8)) > ?::decimal(38, 8)",
    "!": "coalesce({column}, '') not in ('', '[]', 'false')",
    "=%": "{column} ilike ?",
}


def _parted(key: str) -> tuple[str, str]:
    mark = next((mark for mark in ("=%", ">", "!") if key.startswith(mark)), "")
    return mark, key[len(mark) :].lower()


def label_of(row: Mapping[str, Any]) -> str:
    """The name of a custom field: a text, or a text by language."""
    for key in ("edit_form_label", "list_column_label"):
        text = str(row.get(key) or "")
        if text.startswith("{"):
            texts = orjson.loads(text)
            text = str(texts.get("ru") or next(iter(texts.values()), "") or "")
        if text.strip():
            return text.strip()
    return str(row.get("field_name"))


def entity_name(entity_id: str) -> str:
    """The Russian name of what a custom field belongs to."""
    names = {"lead": "лида", "deal": "сделки", "contact": "контакта", "company": "компании", "quote": "предложения"}
    known = {FIELDS_OF[name]: russian for name, russian in names.items()}
    return known.get(entity_id, "счёта" if "INVOICE" in entity_id else "смарт-процесса")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode()
