"""Responses of the documented shapes, one file per method and case, against the columns that staging reads."""

import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import jinja2
import orjson
import pytest
from bitrix24_double import WEBHOOK_URL
from dlt.common.normalizers.naming.snake_case import NamingConvention

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.client import BitrixClient, Command, CommandError, Envelope
from dlt_sources.bitrix24.entities import ENTITIES, PRODUCT_ROWS, Family
from dlt_sources.bitrix24.errors import Kind, PortalError
from dlt_sources.bitrix24.records import custom_field_codes, custom_field_options, to_column_name, to_columns
from dlt_sources.bitrix24.walks import row_id, rows_at
from dlt_sources.bitrix24.webhook import Webhook

FIXTURES = Path(__file__).parent.parent / "fixtures" / "bitrix24"
RECORDED = sorted(path.stem for path in FIXTURES.glob("*.json") if not path.name.startswith("batch."))
CUSTOM_FIELD_MACROS = Path(__file__).parents[2] / "dbt_project" / "macros" / "custom_fields.sql"
LOADED_AT = "2026-06-15T09:00:00+00:00"


def md5(text: str) -> str:
    """What dbt gives its macros as `local_md5`."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def recorded(name: str) -> dict[str, Any]:
    case: dict[str, Any] = orjson.loads((FIXTURES / f"{name}.json").read_bytes())
    return case


def answering(response: Any) -> BitrixClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=response))
    return BitrixClient(Webhook.parse(WEBHOOK_URL), transport=transport)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_response_becomes_the_declared_columns(name: str) -> None:
    """Values arrive as the portal sent them: digits, offsets, empty texts, JSON; only null and absent keys are null."""
    case = recorded(name)
    entity = next(e for e in (*ENTITIES, PRODUCT_ROWS) if (e.table, e.method) == (case["table"], case["method"]))
    rows = rows_at(answering(case["response"]).call(entity.method).result, entity.path, entity.method)
    table = to_columns(entity.table, rows, loaded_at=LOADED_AT)
    found = table.to_pylist()
    assert len(found) == len(case["expected"])
    for row, expected in zip(found, case["expected"], strict=True):
        assert {column: row[column] for column in expected} == expected
        assert (row["_loaded_at"], row["_deleted_at"]) == (LOADED_AT, None)
    declared = (*schema.TABLES[entity.table], *schema.OURS)
    assert [column for column in table.column_names if not column.startswith("uf_crm_")] == [
        column for column in declared if not column.startswith("uf_crm_")
    ]
    if entity.family not in (Family.DICTIONARY,):
        assert [row_id(row, entity.id, entity.method) for row in rows] == [int(row["id"]) for row in found]


def test_every_method_has_a_recorded_response() -> None:
    """A table whose shape nobody wrote down would be decoded by guess."""
    methods = {recorded(name)["method"] for name in RECORDED}
    same_shape = {f"crm.{entity}.userfield.list" for entity in ("lead", "contact", "company")}
    assert {entity.method for entity in (*ENTITIES, PRODUCT_ROWS)} - same_shape == methods


def test_options_of_enumerations_are_rows_of_their_own() -> None:
    """Rows hold option ids; their labels are needed even after a field was renamed."""
    definitions = recorded("crm.deal.userfield.list")["response"]["result"]
    options = to_columns("custom_field_options", custom_field_options(definitions), loaded_at=LOADED_AT).to_pylist()
    assert [(row["entity_id"], row["field_name"], row["id"], row["value"], row["sort"]) for row in options] == [
        ("CRM_DEAL", "UF_CRM_1724077760", "3157", "Радио", "10")
    ]
    assert custom_field_codes(definitions)["deals"] == {"UF_CRM_1724077760", "UF_CRM_MONEY"}


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
        to_columns("statuses", [{"ENTITY_ID": "STATUS", "STATUS_ID": None}], loaded_at=LOADED_AT)


def test_known_custom_fields_have_columns_without_rows() -> None:
    """Staging names them from their definitions, whether or not a row has them yet."""
    table = to_columns("deals", [], loaded_at=LOADED_AT, custom_fields={"UF_CRM_B", "UF_CRM_A"})
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
    table = to_columns("deals", [{"ID": "1", "TITLE": value}], loaded_at=LOADED_AT)
    assert table.column("title").to_pylist() == [text]


def test_a_backslash_before_a_nul_escape_is_kept() -> None:
    r"""The text `\u0000` (a backslash and letters) is not a NUL character."""
    table = to_columns("deals", [{"ID": "1", "TITLE": ["\\u0000", "x"]}], loaded_at=LOADED_AT)
    assert orjson.loads(table.column("title")[0].as_py()) == ["\\u0000", "x"]


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
