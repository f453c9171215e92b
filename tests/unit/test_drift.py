from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from dlt_sources.bitrix24.drift import Change, Definition, changes, from_json, to_json
from warehouse.ledger import Ledger

NOON = datetime(2026, 6, 15, 9, tzinfo=UTC)
LATER = datetime(2026, 6, 16, 9, tzinfo=UTC)


def field(name: str = "UF_CRM_1", **values: object) -> Definition:
    usual = {"entity_id": "CRM_DEAL", "label": "Канал", "user_type": "enumeration", "is_multiple": False}
    options = {"9": "Сайт", "10": "Радио"}
    return Definition(**{"field_name": name, "options": options, **usual, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (field(), []),
        (field(label="Источник"), [Change("CRM_DEAL", "UF_CRM_1", "renamed", "Канал", "Источник")]),
        (field(is_multiple=True), [Change("CRM_DEAL", "UF_CRM_1", "made multiple")]),
        (
            field(options={"9": "Наш сайт", "11": "ТВ"}),
            [
                Change("CRM_DEAL", "UF_CRM_1", "option renamed", "Сайт", "Наш сайт"),
                Change("CRM_DEAL", "UF_CRM_1", "option removed", "Радио"),
                Change("CRM_DEAL", "UF_CRM_1", "option added", None, "ТВ"),
            ],
        ),
        # its options went with it, which says nothing of its own
        (
            field(user_type="string", options={}),
            [Change("CRM_DEAL", "UF_CRM_1", "retyped", "enumeration", "string")],
        ),
    ],
)
def test_each_change_is_named(now: Definition, expected: list[Change]) -> None:
    """What a report's reader asks is what was there before."""
    assert changes([field()], [now]) == expected


def test_fields_come_and_go() -> None:
    """In the order of their names, so that two runs tell the same alike."""
    assert changes([field("UF_CRM_2")], [field("UF_CRM_1")]) == [
        Change("CRM_DEAL", "UF_CRM_1", "added", after="Канал"),
        Change("CRM_DEAL", "UF_CRM_2", "removed", before="Канал"),
    ]


def test_definitions_survive_the_ledger() -> None:
    """They are compared a day later."""
    assert from_json(to_json([field()])) == [field()]


def read(path: Path, loaded_at: datetime, *names: str) -> None:
    """Rows as a run leaves them: those of an earlier one stay."""
    with duckdb.connect(str(path)) as con:
        con.execute("create schema if not exists raw_bitrix24")
        columns = "entity_id, field_name, edit_form_label, list_column_label, user_type_id, multiple, _loaded_at"
        for table, declared in (
            ("custom_fields", columns),
            ("custom_field_options", "entity_id, field_name, id, value, _loaded_at"),
        ):
            con.execute(
                f"create table if not exists raw_bitrix24.{table} ({declared.replace(',', ' varchar,')} varchar)"
            )
        for name in names:
            entity, code = name.split(".")
            con.execute("delete from raw_bitrix24.custom_fields where field_name = ?", [code])
            values = [entity, code, code.title(), None, "string", "N", loaded_at.isoformat()]
            con.execute("insert into raw_bitrix24.custom_fields values (?, ?, ?, ?, ?, ?, ?)", values)


def test_what_was_not_read_is_not_removed(tmp_path: Path) -> None:
    """A list that the portal refused this time says nothing about its fields; one that was read and is empty does."""
    path = tmp_path / "crm.duckdb"
    ledger = Ledger(path)
    read(path, NOON, "CRM_DEAL.UF_1", "CRM_QUOTE.UF_2")
    assert ledger.note_schema_changes("first", NOON, is_whole=True) == []
    read(path, LATER, "CRM_DEAL.UF_1")
    assert ledger.note_schema_changes("second", LATER, is_whole=False) == []
    assert ledger.note_schema_changes("third", LATER, is_whole=True) == [
        Change("CRM_QUOTE", "UF_2", "removed", before="Uf_2")
    ]
    assert ledger.note_schema_changes("fourth", LATER, is_whole=True) == []
    with duckdb.connect(str(path)) as con:
        assert con.execute("select run_id, change from ops.schema_changes").fetchall() == [("third", "removed")]
