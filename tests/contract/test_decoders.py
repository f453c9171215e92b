"""Responses of the documented shapes, one file per method and case, against the columns that staging reads."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import jinja2
import orjson
import pyarrow as pa
import pytest
from bitrix24_double import WEBHOOK_URL
from dlt.common.normalizers.naming.snake_case import NamingConvention

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.client import BitrixClient, Command, CommandError, Envelope
from dlt_sources.bitrix24.details import DETAILS, rows_of
from dlt_sources.bitrix24.entities import ENTITIES, Family, catalog_entities, process_entities
from dlt_sources.bitrix24.errors import Kind, PortalError
from dlt_sources.bitrix24.records import ColumnWriter, Json, custom_field_options, custom_field_types, to_column_name
from dlt_sources.bitrix24.walks import read_page, rows_at
from dlt_sources.bitrix24.webhook import Webhook

FIXTURES = Path(__file__).parent.parent / "fixtures" / "bitrix24"
RECORDED = sorted(path.stem for path in FIXTURES.glob("*.json") if not path.name.startswith("batch."))
CUSTOM_FIELD_MACROS = Path(__file__).parents[2] / "dbt_project" / "macros" / "custom_fields.sql"
LOADED_AT = "2026-06-15T09:00:00+00:00"
LISTS = (
    *ENTITIES,
    *process_entities([{"entityTypeId": 128}]),
    *catalog_entities([{"iblockId": 23}, {"iblockId": 24, "productIblockId": 23}]),
)
READ_BY_OWNER = {detail.method for detail in DETAILS}


def md5(text: str) -> str:
    """What dbt gives its macros as `local_md5`."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def to_columns(table: str, rows: Sequence[Json], **options: Any) -> pa.Table:
    return ColumnWriter().to_columns(table, rows, loaded_at=LOADED_AT, **options)


def as_json(rows: Sequence[Mapping[str, Any]]) -> list[Json]:
    return [orjson.dumps(row) for row in rows]


def recorded(name: str) -> dict[str, Any]:
    case: dict[str, Any] = orjson.loads((FIXTURES / f"{name}.json").read_bytes())
    return case


def answering(response: Any) -> BitrixClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=response))
    return BitrixClient(Webhook.parse(WEBHOOK_URL), transport=transport)


@pytest.mark.parametrize("name", [name for name in RECORDED if recorded(name)["method"] not in READ_BY_OWNER])
def test_a_recorded_response_becomes_the_declared_columns(name: str) -> None:
    """Values arrive as the portal sent them: digits, offsets, empty texts, JSON; only null and absent keys are null."""
    case = recorded(name)
    entity = next(e for e in LISTS if (e.table, e.method) == (case["table"], case["method"]))
    answer = answering(case["response"]).call(entity.method)
    rows = rows_at(answer, entity.path, entity.method)
    table = to_columns(entity.table, rows)
    found = table.to_pylist()
    assert len(found) == len(case["expected"])
    for row, expected in zip(found, case["expected"], strict=True):
        assert {column: row[column] for column in expected} == expected
        assert (row["_loaded_at"], row["_deleted_at"]) == (LOADED_AT, None)
    declared = (*schema.TABLES[entity.table], *schema.OURS)
    assert [column for column in table.column_names if not column.startswith("uf_crm_")] == [
        column for column in declared if not column.startswith("uf_crm_")
    ]
    if entity.family is not Family.DICTIONARY:
        assert read_page(answer, entity).ids == [int(row["id"]) for row in found]


@pytest.mark.parametrize("name", [name for name in RECORDED if recorded(name)["method"] in READ_BY_OWNER])
def test_a_recorded_response_of_one_owner_becomes_the_declared_columns(name: str) -> None:
    """The same for lists that come owner by owner; what tells their owner is added."""
    case = recorded(name)
    detail = next(one for one in DETAILS if (one.table, one.method) == (case["table"], case["method"]))
    rows = rows_of(detail, answering(case["response"]).call(detail.method))
    given = {column: [value] * len(rows) for column, value in case["given"].items()}
    assert given.keys() == detail.given.keys()
    found = to_columns(detail.table, rows, given=given).to_pylist()
    assert len(found) == len(case["expected"])
    for row, expected in zip(found, case["expected"], strict=True):
        assert {column: row[column] for column in expected} == expected
        assert list(row) == [*schema.TABLES[detail.table], *schema.OURS]


def test_every_method_has_a_recorded_response() -> None:
    """A table whose shape nobody wrote down would be decoded by guess."""
    methods = {recorded(name)["method"] for name in RECORDED}
    same_shape = {f"crm.{entity}.userfield.list" for entity in ("lead", "contact", "company", "quote")}
    assert {entity.method for entity in LISTS} - same_shape == methods - READ_BY_OWNER
    assert methods >= READ_BY_OWNER


def test_options_of_enumerations_are_rows_of_their_own() -> None:
    """Rows hold option ids; their labels are needed even after a field was renamed."""
    definitions = recorded("crm.deal.userfield.list")["response"]["result"]
    options = to_columns("custom_field_options", as_json(custom_field_options(definitions))).to_pylist()
    assert [(row["entity_id"], row["field_name"], row["id"], row["value"], row["sort"]) for row in options] == [
        ("CRM_DEAL", "UF_CRM_1724077760", "3157", "Радио", "10")
    ]
    assert custom_field_types(definitions)["deals"] == {"UF_CRM_1724077760": "enumeration", "UF_CRM_MONEY": "money"}


def test_options_may_come_as_a_map_or_not_at_all() -> None:
    """PHP writes a list with gaps in its numbers as a map, and an empty one in every way."""
    lists = [{"7": {"ID": "1", "VALUE": "Да"}}, {}, [], False, None, ""]
    definitions = [{"ENTITY_ID": "CRM_DEAL", "FIELD_NAME": f"UF_{n}", "LIST": given} for n, given in enumerate(lists)]
    expected = [{"ENTITY_ID": "CRM_DEAL", "FIELD_NAME": "UF_0", "ID": "1", "VALUE": "Да"}]
    assert custom_field_options([*definitions, {"FIELD_NAME": "UF_X"}]) == expected


@pytest.mark.parametrize(
    ("code", "column"),
    [
        ("UF_CRM_1724077760", "uf_crm_1724077760"),
        ("UF_CRM_5E7B0A1C2D3E4", "uf_crm_5e7b0a1c2d3e4"),
        ("UF_CRM_A_B", "uf_crm_a_b"),
        ("UF_CRM_A__B", "uf_crm_a_b_640b01f6"),
        ("UF_CRM_A_B_", "uf_crm_a_b_9f1b0ee0"),
        ("UF_CRM_aB", "uf_crm_ab_a19affaf"),
    ],
)
def test_codes_of_custom_fields_are_columns_of_their_own(code: str, column: str) -> None:
    """dbt looks for the code in lower case: torn apart by dlt, a field was missing from the marts without a word."""
    assert to_column_name(code) == column
    assert NamingConvention().normalize_identifier(column) == column
    macros = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(CUSTOM_FIELD_MACROS.read_text())
    of_dbt = macros.make_module({"modules": {"re": re}, "local_md5": md5, "return": str}).custom_field_column
    assert of_dbt(code).strip() == column


def test_a_row_without_its_key_is_refused_in_plain_words() -> None:
    """Arrow would end the run with a traceback."""
    with pytest.raises(PortalError, match="a row of statuses without its status_id"):
        to_columns("statuses", as_json([{"ENTITY_ID": "STATUS", "STATUS_ID": None}]))


def test_known_custom_fields_have_columns_without_rows() -> None:
    """Staging names them from their definitions, whether or not a row has them yet."""
    table = to_columns("deals", [], custom_fields={"UF_CRM_B": "string", "UF_CRM_A": "string"})
    assert table.num_rows == 0
    assert table.column_names[-4:] == ["uf_crm_a", "uf_crm_b", "_loaded_at", "_deleted_at"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        ("15000.00", "15000.00"),
        ("a\0b", "ab"),
        (0, "0"),
        (-7, "-7"),
        (833.33, "833.33"),
        (True, "true"),
        (False, "false"),
        ([], "[]"),
        ({}, "{}"),
        (["a\0", 1, None, "ё😀"], '["a",1,null,"ё😀"]'),
    ],
)
def test_values_become_text_without_loss(value: Any, text: str | None) -> None:
    """The zoo of empties stays apart: null, empty text, 0, false, an empty list."""
    table = to_columns("deals", as_json([{"ID": "1", "TITLE": value}]))
    assert table.column("title").to_pylist() == [text]


def test_a_backslash_before_a_nul_escape_is_kept() -> None:
    r"""The text `\u0000` (a backslash and letters) is not a NUL character."""
    table = to_columns("deals", as_json([{"ID": "1", "TITLE": ["\\u0000", "x"]}]))
    assert orjson.loads(table.column("title")[0].as_py()) == ["\\u0000", "x"]


def test_a_field_that_appears_between_two_pages_is_not_lost() -> None:
    """Only some rows are looked at for their keys, unless the number of codes shows that others have more."""
    rows = [{"ID": str(number), "UF_CRM_A": "x"} for number in range(1, 60)]
    rows[40]["UF_CRM_B"] = "new"
    table = to_columns("deals", as_json(rows))
    assert [text for text in table.column("uf_crm_b").to_pylist() if text] == ["new"]


def test_custom_fields_of_items_are_one_object() -> None:
    """Smart processes have as many codes as types; each is the text that a column of its own would hold."""
    rows = as_json([{"id": 1, "entityTypeId": 1030, "UF_CRM_7_1": "a'b", "UF_CRM_7_2": [1, 2], "UF_CRM_7_3": None}])
    (row,) = to_columns("process_items", rows).to_pylist()
    assert orjson.loads(row["custom_fields"]) == {"UF_CRM_7_1": "a'b", "UF_CRM_7_2": "[1,2]", "UF_CRM_7_3": None}


def test_a_partly_failed_batch_is_read_command_by_command() -> None:
    """The HTTP status is 200 all the same."""
    answer = answering(recorded("batch.partly_failed")["response"]).batch(
        {"good": Command("crm.deal.list", {}), "bad": Command("no.such.method", {})}
    )
    good, bad = answer["good"], answer["bad"]
    assert isinstance(good, Envelope)
    assert isinstance(bad, CommandError)
    assert good.result == [{"ID": "1"}]
    assert good.time.operating == pytest.approx(3.3076)
    assert bad.failure.kind is Kind.DENIED


def test_a_batch_without_any_result_has_lists_for_maps() -> None:
    """PHP writes an empty map as a list."""
    client = answering(recorded("batch.all_failed")["response"])
    answer = client.batch({"good": Command("crm.deal.list", {}), "bad": Command("crm.deal.list", {})})
    assert [outcome.failure.kind for outcome in answer.values() if isinstance(outcome, CommandError)] == [
        Kind.OPERATING,
        Kind.OPERATING,
    ]
    assert client.wait_s("crm.deal.list") > 0
