"""The bundle for Superset: current, complete, and unable to count rows several times."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bi.dictionary import LAYERS, MODELS, load_dictionary
from bi.superset import build
from bi.superset.build import ASSETS, BundleError, Chart, Dashboard, Table, bundle, load_dashboards, load_tables

Yaml = dict[str, Any]
NEW_MART = """
models:
  - name: quote_statistics
    description: "Статистика предложений. Grain: one row per month and source."
    config:
      meta:
        primary_key: [period_month, source]
        publish: true
        bi:
          title: Статистика предложений
          time: period_month
          metrics:
            - name: m_declined_rate
              label: Доля отклонённых
              expression: "SUM(quotes_declined) / NULLIF(SUM(quotes), 0)"
              format: share
              definition: "Какая часть предложений отклонена."
    columns:
      - {name: period_month, data_type: date, description: "Месяц. Its first day."}
      - {name: source, data_type: varchar, description: "Источник.", config: {meta: {values: {web: Сайт}}}}
      - {name: quotes, data_type: bigint, description: "Предложения."}
      - {name: quotes_declined, data_type: bigint, description: "Отклонённые предложения."}
      - {name: declined_rate, data_type: double, description: "Доля.", config: {meta: {additive: false}}}
"""
NEW_CHART = """
  - height: 40
    charts:
      - {id: declined, name: Отклонённые предложения, dataset: quote_statistics, kind: bar, metric: m_declined_rate,
         by: [source], width: 12, says: "Какая часть предложений каждого источника отклонена."}
"""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FILTERS = {  # of each dashboard at least
    "rukovoditelyu": {"Период", "Воронка для стадий", "Менеджер", "Канал"},
    "prodazhi": {"Период", "Воронка для стадий", "Воронки", "Отдел", "Менеджер", "Канал"},
    "marketing": {"Период", "Канал"},
    "menedzhery": {"Период", "Месяц", "Отдел", "Менеджер"},
    "klienty": {"Период"},
    "zvonki-i-zadachi": {"Период", "Месяц", "Отдел", "Менеджер"},
    "servis-i-proekty": {"Период", "Отдел", "Менеджер"},
}
METRIC_KEYS = ("metric", "metrics", "metrics_b", "timeseries_limit_metric", "timeseries_limit_metric_b")
COLUMN_KEYS = ("x_axis", "groupby", "groupby_b", "groupbyRows", "groupbyColumns")


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return bundle()


@pytest.fixture(scope="module")
def assets(files: dict[str, str]) -> dict[str, Yaml]:
    return {path: yaml.load(text, LOADER) for path, text in files.items()}


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return load_tables()


@pytest.fixture(scope="module")
def dashboards(tables: dict[str, Table]) -> list[Dashboard]:
    return load_dashboards(tables)


def test_the_assets_are_what_build_makes(files: dict[str, str]) -> None:
    kept = {path.relative_to(ASSETS).as_posix(): path.read_text(encoding="utf-8") for path in ASSETS.rglob("*.yaml")}
    assert kept == files, "run `python -m bi.superset.build`"


def test_the_bundle_is_complete(assets: dict[str, Yaml]) -> None:
    assert assets["metadata.yaml"]["type"] == "assets"
    database = assets["databases/marts.yaml"]
    assert "@127.0.0.1" in database["sqlalchemy_uri"] and not re.search(r":[^/@]+@", database["sqlalchemy_uri"])
    assert {board["slug"] for board in _all(assets, "dashboards")} == {
        "rukovoditelyu", "prodazhi", "marketing", "menedzhery", "klienty", "zvonki-i-zadachi", "servis-i-proekty",
    }  # fmt: skip
    datasets = {dataset["uuid"]: dataset for dataset in _all(assets, "datasets")}
    assert all(dataset["database_uuid"] == database["uuid"] for dataset in datasets.values())
    charts = {chart["uuid"]: chart for chart in _all(assets, "charts")}
    assert all(chart["dataset_uuid"] in datasets for chart in charts.values())
    placed = [
        place["meta"]["uuid"]
        for board in _all(assets, "dashboards")
        for place in board["position"].values()
        if _kind(place) == "CHART"
    ]
    assert sorted(placed) == sorted(charts), "each chart stands on one dashboard, once"


def test_uuids_are_unique_and_stay(assets: dict[str, Yaml]) -> None:
    uuids = [content["uuid"] for content in assets.values() if "uuid" in content]
    assert len(uuids) == len(set(uuids))
    # another uuid would leave the old object beside the new one in every Superset that has the bundle
    assert assets["charts/rukovoditelyu_revenue.yaml"]["uuid"] == "29c241e9-5964-526e-b98a-03a4df34c3aa"
    assert assets["datasets/marts/sales_to_date.yaml"]["uuid"] == "226858cc-2662-57b7-ae71-55c9ef18beb9"


def test_charts_name_columns_and_metrics_that_exist(assets: dict[str, Yaml]) -> None:
    datasets = {dataset["uuid"]: dataset for dataset in _all(assets, "datasets")}
    for chart in _all(assets, "charts"):
        dataset, params = datasets[chart["dataset_uuid"]], chart["params"]
        columns = {column["column_name"] for column in dataset["columns"]}
        metrics = {metric["metric_name"] for metric in dataset["metrics"]}
        assert set(_listed(params, METRIC_KEYS)) <= metrics, chart["slice_name"]
        filters = params["adhoc_filters"] + params.get("adhoc_filters_b", [])
        filtered = {one["subject"] for one in filters if one["expressionType"] == "SIMPLE"}
        assert filtered | set(_listed(params, COLUMN_KEYS)) <= columns, chart["slice_name"]
        assert {mark["column"] for mark in params.get("conditional_formatting", [])} <= metrics


def test_every_chart_says_in_one_russian_sentence_what_its_number_means(assets: dict[str, Yaml]) -> None:
    charts = {chart["uuid"]: chart for chart in _all(assets, "charts")}
    for chart in charts.values():
        assert re.fullmatch(r"[А-ЯA-Z][^.]*[а-яё][^.]*\.", chart["description"]), chart["slice_name"]
    for board in _all(assets, "dashboards"):
        position = board["position"]
        for place in position.values():
            if _kind(place) == "COLUMN":
                above, below = (position[child] for child in place["children"])
                assert below["meta"]["code"] == charts[above["meta"]["uuid"]]["description"]


def test_datasets_speak_russian_and_aggregate_by_metrics_alone(assets: dict[str, Yaml]) -> None:
    for dataset in _all(assets, "datasets"):
        for column in dataset["columns"]:
            assert column["verbose_name"]
            assert not (column["groupby"] and "Не складывается" in column["description"])
        for metric in dataset["metrics"]:
            assert metric["verbose_name"] and metric["d3format"] and metric["description"].endswith(".")
            assert not re.search(r"\bAVG\b|/(?! *(NULLIF|3600))", metric["expression"]), metric["metric_name"]


def test_only_money_has_the_format_of_money() -> None:
    """The currency goes wherever that format stands."""
    assert [kind for kind, d3 in build.D3.items() if d3 == build.MONEY] == ["money"]


def test_no_chart_counts_rows_several_times(dashboards: list[Dashboard], assets: dict[str, Yaml]) -> None:
    narrowed = 0
    for dashboard in dashboards:
        filters = assets[f"dashboards/{dashboard.slug}.yaml"]["metadata"]["native_filter_configuration"]
        for chart in dashboard.charts:
            params = assets[f"charts/{dashboard.slug}_{chart.id}.yaml"]["params"]
            for column in chart.table.dataset.pick_one:
                names = {column, f"{column}_ru"}
                by_itself = [
                    one for one in params["adhoc_filters"] if one.get("subject") in names and one["operator"] == "=="
                ]
                side_by_side = names & set(_listed(params, COLUMN_KEYS))
                by_dashboard = [
                    one
                    for one in filters
                    if one["targets"][0].get("column", {}).get("name") in names
                    and one["controlValues"]["enableEmptyFilter"]
                    and one["controlValues"]["defaultToFirstItem"]
                    and one["requiredFirst"]
                    and not one["controlValues"]["multiSelect"]
                    and chart.number not in one["scope"]["excluded"]
                ]
                assert by_itself or side_by_side or by_dashboard, f"{chart.name}: {column}"
                narrowed += 1
    assert narrowed > 10


def test_filters_reach_exactly_the_charts_that_have_their_column(
    dashboards: list[Dashboard], assets: dict[str, Yaml]
) -> None:
    datasets = {dataset["uuid"]: dataset for dataset in _all(assets, "datasets")}
    for dashboard in dashboards:
        filters = assets[f"dashboards/{dashboard.slug}.yaml"]["metadata"]["native_filter_configuration"]
        assert FILTERS[dashboard.slug] <= {one["name"] for one in filters}
        for one in filters:
            reached = [chart for chart in dashboard.charts if chart.number not in one["scope"]["excluded"]]
            assert reached, one["name"]
            if one["filterType"] == "filter_time":
                hooked = {chart.id for chart in dashboard.charts if _has_period(assets, chart)}
                assert {chart.id for chart in reached} == hooked
                continue
            (target,) = one["targets"]
            names = {column["column_name"] for column in datasets[target["datasetUuid"]]["columns"]}
            assert target["column"]["name"] in names
            assert all(target["column"]["name"] in chart.table.columns for chart in reached), one["name"]


def test_a_chart_along_the_months_shows_one_of_them_at_a_time(dashboards: list[Dashboard]) -> None:
    charts = {f"{board.slug}_{chart.id}": chart for board in dashboards for chart in board.charts}
    assert charts["klienty_churn_monthly"].narrowed("period_month")
    # a mart of days has weeks and months for its charts, which hold many of its days
    assert not charts["prodazhi_dynamics"].narrowed("date_day")
    assert not charts["klienty_regular"].narrowed("last_won_date")


def test_every_chart_of_a_dashboard_stands_on_one_tab_of_it(assets: dict[str, Yaml]) -> None:
    """What is on no tab is on no screen; Superset finds the way up by `parents`."""
    tabs = {}
    for board in _all(assets, "dashboards"):
        position = board["position"]
        reached, above = [], [("ROOT_ID", [])]
        while above:
            name, parents = above.pop()
            place = position[name]
            assert place.get("parents", []) == parents, (board["slug"], name)
            reached.append(name)
            above += [(child, [*parents, name]) for child in place.get("children", [])]
        assert sorted(reached) == sorted(position.keys() - {"DASHBOARD_VERSION_KEY", "HEADER_ID"})
        tabs[board["slug"]] = [place["meta"]["text"] for place in position.values() if _kind(place) == "TAB"]
    assert tabs == {
        "rukovoditelyu": [],
        "prodazhi": ["Воронка", "Выручка и план", "Прогноз", "Отказы и клиенты"],
        "marketing": ["Реклама", "Лиды", "Рассылки"],
        "menedzhery": [],
        "klienty": [],
        "zvonki-i-zadachi": ["Звонки", "Задачи", "Процессы"],
        "servis-i-proekty": ["Сервис", "Проекты"],
    }


def test_a_mart_joins_by_the_steps_of_the_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of docs/dashboards.md, on a mart that is not there yet."""
    for folder in ("dashboards", "datasets"):
        shutil.copytree(build.HERE / folder, tmp_path / folder)
    for layer in LAYERS:
        shutil.copytree(MODELS / layer, tmp_path / "models" / layer)
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "load_dictionary", lambda: load_dictionary(tmp_path / "models"))
    before = bundle()

    (tmp_path / "models" / "marts" / "quote_statistics.yml").write_text(NEW_MART, encoding="utf-8")
    path = tmp_path / "dashboards" / "marketing.yaml"
    path.write_text(path.read_text(encoding="utf-8") + NEW_CHART, encoding="utf-8")
    after = bundle()

    added = {"datasets/marts/quote_statistics.yaml", "charts/marketing_declined.yaml"}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == added | {"dashboards/marketing.yaml"}
    dataset = yaml.load(after["datasets/marts/quote_statistics.yaml"], LOADER)
    shown = {column["column_name"]: column["expression"] for column in dataset["columns"]}
    assert shown["source_ru"] == "CASE source WHEN 'web' THEN 'Сайт' ELSE source END"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric": "m_income"}, "has no metric m_income; add it to config.meta.bi"),
        ({"by": ["colour"]}, "has no column colour"),
        ({"colour": "red"}, "colour is unknown; known are across"),
        ({"marks": [["m_gain", "<", 0, "bad"]]}, "has no metric m_gain"),
        ({"kind": "cake"}, "the kind cake is unknown; known are figure"),
        ({"dataset": "roi"}, "'roi' is missing or unknown"),
        (
            {"where": {"attribution_model": "last_touch"}},
            "could count rows several times: .* values of date_basis",
        ),
        (
            {"where": {"attribution_model": {"!=": "last_touch"}, "date_basis": "event"}},
            "could count rows several times: .* values of attribution_model",
        ),
        ({"width": 13}, "is wider than 12 columns"),
        ({"kind": "heat", "over": "period_month"}, "a heat map needs one column along, in `over`, and one down"),
        (
            {"dataset": "client_retention", "metric": "m_churn_rate", "where": {}},
            "could count rows several times: .* values of period_month",
        ),
        (
            {"dataset": "client_cohort", "metric": "m_ltv", "where": {}, "kind": "line"},
            "could count rows several times: .* values of month_number",
        ),
    ],
)
def test_a_wrong_chart_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Table], changed: Yaml, message: str
) -> None:
    chart = {
        "id": "spend", "name": "Расходы", "says": "Сколько потрачено.", "dataset": "channel_roi", "kind": "number",
        "metric": "m_spend", "width": 4, "where": {"attribution_model": "last_touch", "date_basis": "event"},
    }  # fmt: skip
    described = {"slug": "proba", "title": "Проба", "about": "Проба.", "rows": [{"height": 20, "charts": [chart]}]}
    (tmp_path / "dashboards").mkdir()
    path = tmp_path / "dashboards" / "proba.yaml"
    monkeypatch.setattr(build, "HERE", tmp_path)
    path.write_text(yaml.safe_dump(described), encoding="utf-8")
    assert [one.name for one in load_dashboards(tables)[0].charts] == ["Данные", "Расходы"]
    chart.update(changed)
    path.write_text(yaml.safe_dump(described), encoding="utf-8")
    with pytest.raises(BundleError, match=f"proba.*{message}"):
        load_dashboards(tables)


def _has_period(assets: dict[str, Yaml], chart: Chart) -> bool:
    """Superset puts the dashboard's period into the filter of the kind TEMPORAL_RANGE, if the chart has one."""
    filters = assets[f"charts/{chart.dashboard}_{chart.id}.yaml"]["params"]["adhoc_filters"]
    return any(one.get("operator") == "TEMPORAL_RANGE" for one in filters)


def _kind(place: Any) -> str:
    """Of a place in a dashboard; its position holds the version of its form too, which is no place."""
    return str(place["type"]) if isinstance(place, dict) else ""


def _all(assets: dict[str, Yaml], kind: str) -> Iterator[Yaml]:
    return (content for path, content in assets.items() if path.startswith(f"{kind}/"))


def _listed(params: Yaml, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        value = params.get(key)
        if not isinstance(value, dict):  # a metric written out
            yield from [value] if isinstance(value, str) else value or []
