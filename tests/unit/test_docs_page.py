"""The page of `make docs`: whole, alone in its file, and silent about the machine that made it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestration.dbt import MANIFEST
from orchestration.definitions import defs
from orchestration.docs_page import text

USER = "0f6e2c1a-of-this-user"
WEBHOOK = "https://portal.test/rest/1/secret0secret/"
CATALOG = {
    "metadata": {"user_id": USER},
    "sources": {},
    "nodes": {"model.bitrix24_analytics.client_abc": {"metadata": {"database": "my_warehouse", "comment": None}}},
}


@pytest.fixture(scope="module")
def page() -> str:
    """Of this project's manifest, with what a machine could have left in it."""
    assert defs.resolve_asset_graph()  # the manifest is there and current
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    manifest["metadata"] |= {"user_id": USER, "env": {"DBT_ENV_CUSTOM_ENV_WEBHOOK": WEBHOOK}}
    for node in manifest["nodes"].values():
        node["root_path"] = str(Path(__file__).parents[2])
        node["database"] = "my_warehouse"
    manifest["nodes"]["model.bitrix24_analytics.client_abc"]["description"] += "</script><script>"
    return text(manifest, CATALOG)


def _inside(page: str, after: str) -> dict[str, Any]:
    found: dict[str, Any] = json.JSONDecoder().raw_decode(page, page.index(after) + len(after))[0]
    return found


@pytest.fixture(scope="module")
def manifest(page: str) -> dict[str, Any]:
    return _inside(page, "n={manifest:")


def test_models_dashboards_and_lineage_are_inside(page: str, manifest: dict[str, Any]) -> None:
    nodes, exposures = manifest["nodes"], manifest["exposures"]
    abc = nodes["model.bitrix24_analytics.client_abc"]
    assert abc["columns"]["abc_class"]["description"].startswith("Класс ABC.")
    assert "- **Доля выручки класса** – Какую часть выручки" in abc["description"]
    assert abc["meta"] == {"title": "ABC-анализ клиентов"}
    assert "model.bitrix24_analytics.fct_deals" in manifest["parent_map"]["model.bitrix24_analytics.client_abc"]
    sales = exposures["exposure.bitrix24_analytics.prodazhi"]
    assert sales["label"] == "Продажи" and "model.bitrix24_analytics.client_abc" in sales["depends_on"]["nodes"]
    assert "Аналитика Bitrix24" in manifest["docs"]["doc.bitrix24_analytics.__overview__"]["block_contents"]
    assert _inside(page, ",catalog:")["nodes"].keys() == CATALOG["nodes"].keys()


def test_nothing_tells_of_the_machine_or_of_a_secret(page: str, manifest: dict[str, Any]) -> None:
    for secret in (str(Path(__file__).parents[2]), str(Path.home()), WEBHOOK, "secret0secret", USER):
        assert secret not in page
    assert "my_warehouse" not in page
    assert not re.search(r"/rest/\d+/", json.dumps(manifest))
    assert not re.search(r'"(/|[A-Z]:\\\\)(home|root|tmp|Users)\b', json.dumps(manifest))


def test_the_page_needs_nothing_beside_it_and_reports_to_nobody(page: str, manifest: dict[str, Any]) -> None:
    head = page[: page.index("</head>")]
    assert "default-src 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'none'" in head
    assert not re.search(r"<script[^>]*\ssrc=|<link[^>]*stylesheet", page)
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False


def test_a_tag_within_a_text_does_not_end_the_script(page: str) -> None:
    assert "</script><script>" not in page and "<\\/script><script>" in page
