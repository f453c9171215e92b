"""What dbt is told of the dashboards: current, and the same tables that Superset's own files read."""

import re
from pathlib import Path

import pytest
import yaml

from bi.superset.build import ASSETS
from bi.superset.exposures import FILE, text

Yaml = dict[str, object]


def _named(folder: str) -> dict[str, Yaml]:
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ASSETS / folder).glob("**/*.yaml")}


@pytest.fixture(scope="module")
def exposures() -> list[dict[str, object]]:
    return list(yaml.safe_load(FILE.read_text(encoding="utf-8"))["exposures"])


def test_the_file_is_what_the_descriptions_make() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run `python -m bi.superset.exposures`"


def test_a_dashboard_names_the_tables_that_its_charts_read(exposures: list[dict[str, object]]) -> None:
    """Read back from what Superset imports: charts of a dashboard, their datasets, the tables of these."""
    tables = {
        dataset["uuid"]: set(re.findall(r"marts\.(\w+)", str(dataset["sql"])))
        if dataset["sql"]
        else {dataset["table_name"]}
        for dataset in _named("datasets").values()
    }
    charts = _named("charts")
    reads = {
        slug: set().union(
            *(tables[chart["dataset_uuid"]] for name, chart in charts.items() if name.startswith(f"{slug}_"))
        )
        for slug in _named("dashboards")
    }
    named = {
        str(one["name"]): {re.fullmatch(r"ref\('(\w+)'\)", ref)[1] for ref in one["depends_on"]}  # type: ignore[index,attr-defined]
        for one in exposures
    }
    assert named == {slug.replace("-", "_"): found - {"publish_info"} for slug, found in reads.items()}
    models = {path.stem for path in Path(FILE).parent.rglob("*.sql")}
    assert set().union(*named.values()) <= models


def test_a_dashboard_is_called_as_its_viewers_call_it(exposures: list[dict[str, object]]) -> None:
    titles = {dashboard["dashboard_title"] for dashboard in _named("dashboards").values()}
    assert {one["label"] for one in exposures} == titles
    assert {str(one["owner"]) for one in exposures} == {"{'name': 'Аналитика'}"}
