"""An administrator changes custom fields between two syncs: the run goes on, old data stays, the change is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import psycopg
import pytest
from pipeline.rehearsal import Rehearsal, rehearsal
from psycopg.rows import dict_row

pytestmark = pytest.mark.long  # two full syncs for one file: some minutes

ENTITY = "CRM_DEAL"
CONTRACT, DAYS, COMMENT = "UF_CRM_1717100001", "UF_CRM_1717100002", "UF_CRM_1717100016"
TENDER, COST, REASON, NEW = "UF_CRM_1717100008", "UF_CRM_1717100007", "UF_CRM_1717100010", "UF_CRM_1799000001"
TOO_DEAR = "Дорого"


@dataclass
class Drifted:
    """What was published before and after, and what the second run said."""

    rehearsal: Rehearsal
    before: dict[int, dict[str, Any]]
    after: dict[int, dict[str, Any]]
    first: dict[str, Any]
    second: dict[str, Any]
    unchanged: set[int]  # deals that the second run did not read again


def published(rehearsed: Rehearsal) -> dict[int, dict[str, Any]]:
    with psycopg.connect(rehearsed.url(), row_factory=dict_row) as connection:
        return {row["deal_id"]: row for row in connection.execute("select * from marts.deal_fields").fetchall()}


def read(rehearsed: Rehearsal, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(rehearsed.folder / "company.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def drifted() -> Iterator[Drifted]:
    with rehearsal(seed=17, deals=200) as rehearsed:
        first = rehearsed.sync()
        before = published(rehearsed)
        change = rehearsed.portal.custom_field
        change("add", ENTITY, NEW, label="Канал продаж", user_type="enumeration", options=["Сайт", "Выставка"])
        change("rename", ENTITY, CONTRACT, label="Договор №")
        change("retype", ENTITY, DAYS, user_type="string")
        change("retype", ENTITY, COMMENT, user_type="integer")
        change("multiple", ENTITY, TENDER, multiple=True)
        change("remove", ENTITY, COST)
        change("add_option", ENTITY, REASON, option="Сезон")
        change("remove_option", ENTITY, REASON, option=TOO_DEAR)
        rehearsed.portal.advance(1)
        second = rehearsed.sync()
        deals = "raw_bitrix24.deals"
        old = f"select cast(id as bigint) from {deals} where _loaded_at < (select max(_loaded_at) from {deals})"
        unchanged = {number for (number,) in read(rehearsed, old)}
        yield Drifted(rehearsed, before, published(rehearsed), first, second, unchanged)


def names(drifted: Drifted) -> dict[str, str]:
    """Readable names of the fields, by code."""
    return dict(read(drifted.rehearsal, "select field_code, column_name from ops.custom_field_names"))


def test_the_run_goes_on_and_publishes(drifted: Drifted) -> None:
    """Drift is everyday work of an administrator, no reason to have no figures in the morning."""
    assert drifted.second["succeeded"]
    assert not drifted.second["tests_failed"]
    assert drifted.after.keys() >= drifted.before.keys()
    assert len(drifted.unchanged) > 100


def test_every_change_is_told_once(drifted: Drifted) -> None:
    """In the ledger, in the summary, and on the screen."""
    expected = {
        (NEW, "added", None, "Канал продаж"),
        (CONTRACT, "renamed", "Номер договора", "Договор №"),
        (DAYS, "retyped", "integer", "string"),
        (COMMENT, "retyped", "string", "integer"),
        (TENDER, "made multiple", None, None),
        (COST, "removed", "Себестоимость", None),
        (REASON, "option added", None, "Сезон"),
        (REASON, "option removed", TOO_DEAR, None),
    }
    assert drifted.first["schema_changes"] == []
    told = drifted.second["schema_changes"]
    keys = ("field_name", "change", "before", "after")
    assert sorted(map(repr, expected)) == sorted(repr(tuple(one[key] for key in keys)) for one in told)
    kept = read(drifted.rehearsal, "select entity_id, field_name, change, before, after from ops.schema_changes")
    assert set(kept) == {(ENTITY, *change) for change in expected}
    assert len(kept) == len(expected)
    runs = read(drifted.rehearsal, "select distinct run_id, seen_at is not null from ops.schema_changes")
    assert runs == [(drifted.second["run_id"], True)]
    screen = " ".join(drifted.rehearsal.screens)
    assert f"custom field: {ENTITY} {COST} removed: 'Себестоимость'" in screen


@pytest.mark.parametrize("code", [CONTRACT, TENDER, COST, REASON, "UF_CRM_1717100011", "UF_CRM_DELIVERY_KM"])
def test_old_rows_keep_their_values(drifted: Drifted, code: str) -> None:
    """Under the names that reports know, also of a field that is gone and of an option that is."""
    name = names(drifted)[code]
    had = {number: row[name] for number, row in drifted.before.items() if number in drifted.unchanged}
    assert any(value is not None for value in had.values())
    assert {number: drifted.after[number][name] for number in had} == had


def test_labels_of_removed_options_stay(drifted: Drifted) -> None:
    """A report by loss reasons must not lose the reason that was used most."""
    name = names(drifted)[REASON]
    holders = {number for number, row in drifted.before.items() if row[name] == TOO_DEAR} & drifted.unchanged
    assert holders
    assert {drifted.after[number][name] for number in holders} == {TOO_DEAR}


def test_a_retyped_field_keeps_what_was_read_of_it(drifted: Drifted) -> None:
    """The column takes the new type; what does not fit it any more still stands in raw."""
    days, comment = names(drifted)[DAYS], names(drifted)[COMMENT]
    had = {number: row[days] for number, row in drifted.before.items() if number in drifted.unchanged}
    as_text = {number: None if value is None else str(value) for number, value in had.items()}
    assert {number: drifted.after[number][days] for number in had} == as_text
    assert all(row[comment] is None or isinstance(row[comment], int) for row in drifted.after.values())
    texts = {number: row[comment] for number, row in drifted.before.items() if row[comment]}
    raw = dict(read(drifted.rehearsal, f"select cast(id as bigint), {COMMENT.lower()} from raw_bitrix24.deals"))
    assert texts
    assert all(raw[number] == text for number, text in texts.items() if number in drifted.unchanged)


def test_a_new_field_has_a_column(drifted: Drifted) -> None:
    """Also while few rows hold it."""
    assert names(drifted)[NEW] == "kanal_prodazh"
    assert {row["kanal_prodazh"] for row in drifted.after.values()} <= {None, "Сайт", "Выставка"}
