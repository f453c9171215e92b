"""Write `bi/superset/assets/`: the bundle that Superset imports, made from the dictionary and `dashboards/*.yaml`.

    python -m bi.superset.build

Everything in `assets/` is generated; `docs/dashboards.md` tells how to add to it.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import yaml

from bi.dictionary import Column, Dataset, Format, Metric, check, load_dictionary, read_column, read_metric

Yaml = dict[str, Any]

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
SCHEMA = "marts"
DATABASE = "Витрины Bitrix24"
VERSION = "1.0.0"
OURS = UUID("5b0d3f0e-6f3a-5d0c-9b56-2f5f0f1c7a24")  # the namespace of all our uuids; another one makes all objects new
GRID = 12  # columns of a dashboard
CLEAR: Yaml = {"background": "BACKGROUND_TRANSPARENT"}
LETTERS = 11  # of a sentence, that fit into one of the columns on a small screen
CSS = """\
.dashboard-component-tabs, .dashboard-component-tabs .ant-tabs, .dashboard-component-tabs .ant-tabs-content-holder,
.dashboard-component-tabs .ant-tabs-tabpane, .dashboard-component-tabs-content { background: transparent !important; }
.grid-column .dashboard-markdown { margin-top: -16px; }
.dashboard-markdown .dashboard-component-chart-holder { padding: 4px 16px; }
.dashboard-markdown p { font-size: 12px; line-height: 1.35; margin: 0; opacity: 0.7; }
.dt-is-null { font-size: 0; }
.dt-is-null::after { content: "–"; font-size: 12px; }
"""
NEVER = "No filter"  # Superset's word for a time range without bounds

MONEY = ",.0f"  # of nothing else: provision.py finds by it where the currency belongs
D3: Mapping[Format, str] = {
    "money": MONEY,
    "count": ",d",
    "decimal": ",.1~f",
    "share": ",.1~%",
    "days": ",.1f",
    "hours": ",.1f",
    "minutes": ",d",
    "index": ",.2f",
    "ratio": ",.2f",
}
COLORS = "echarts5Colors"
FUNNEL_COLORS = "b24Funnel"  # of superset_config.py; light, as the labels lie on them
REST = "Остальные"  # superset_config.py names it so
# short words for viewers; in the dictionary some of them belong to the key beside the column
SHORT = {
    "pipeline_name": "Воронка",
    "stage_ru": "Стадия",
    "manager_name": "Менеджер",
    "department_name": "Отдел",
    "channel_name_ru": "Канал",
    "utm_campaign": "Кампания",
    "client_ru": "Клиент",
    "client_name": "Клиент",
    "stage_name": "Стадия",
    "lost_from_stage_name": "Потеряно со стадии",
    "favourite_product_name": "Любимый товар",
    "project_name": "Проект",
    "process_name": "Смарт-процесс",
    "scope_name": "Чей план",
}
OPTIONS = {
    "over", "across", "grain", "sort", "horizontal", "stack", "values", "limit", "others", "search", "marks", "having",
    "compared", "time_format",
}  # fmt: skip
# stands at the top of every dashboard
TRUST: Yaml = {
    "id": "trust",
    "name": "Данные",
    "dataset": "trust",
    "kind": "table",
    "metric": "m_remarks",
    "by": ["verdict", "as_of"],
    "marks": [["m_remarks", ">", 0, "bad"], ["m_remarks", "=", 0, "good"]],
    "time_format": "local!%d.%m.%Y %H:%M",
    "width": 5,
    "height": 17,
    "says": "Можно ли верить числам; какие проверки не прошли, видно внизу дашборда «Руководителю».",
}
GOOD, BAD, GREY = "#5AC189", "#E04355", "#D0D4DA"


class BundleError(Exception):
    """A dashboard's description asks for something wrong; the message names the chart and what to change."""


@dataclass(frozen=True)
class Table:
    """A dataset of Superset: a published table, or a query over them."""

    dataset: Dataset
    calculated: tuple[tuple[Column, str], ...]  # columns made by an expression
    sql: str | None = None

    @property
    def name(self) -> str:
        """Its name in Superset and in the descriptions of dashboards."""
        return self.dataset.name

    @property
    def uuid(self) -> str:
        """Its uuid."""
        return _uuid("dataset", self.name)

    @property
    def columns(self) -> dict[str, Column]:
        """All columns by name, the calculated ones too."""
        return {column.name: column for column in (*self.dataset.columns, *(column for column, _ in self.calculated))}

    def shown(self, name: str) -> str:
        """The column to show instead of one that holds codes or months."""
        return f"{name}_ru" if f"{name}_ru" in self.columns else name


@dataclass(frozen=True)
class Chart:
    """One chart of a dashboard, as described in its yaml."""

    dashboard: str
    id: str
    number: int  # unique in its dashboard; stands for Superset's id until the import
    name: str
    says: str
    kind: str
    table: Table
    metrics: tuple[Metric, ...]
    by: tuple[str, ...]
    where: Mapping[str, Any]
    width: int
    height: int
    follows: str  # the filter of time that moves it: period, month, or nothing if it always tells of today
    options: Yaml

    @property
    def uuid(self) -> str:
        """Its uuid; the name may change without it."""
        return _uuid("chart", f"{self.dashboard}/{self.id}")

    @property
    def over(self) -> str | None:
        """The column that the chart runs along, if that is not the time."""
        return self.options.get("over")

    def narrowed(self, column: str) -> bool:
        """True if the chart itself shows one value of the column at a time."""
        names = {column, self.table.shown(column)}
        equal = {name for name, wanted in self.where.items() if not isinstance(wanted, dict | list)}
        along = _axis(self) if self.kind in ALONG_TIME and not self.over else self.over
        side_by_side = {*self.by, *self.options.get("across", ()), along}
        return bool(names & (equal | side_by_side))


def _uuid(kind: str, name: str) -> str:
    return str(uuid5(OURS, f"{kind}/{name}"))


# --- datasets -----------------------------------------------------------------------------------------------------


def load_tables() -> dict[str, Table]:
    """The marts that have metrics, and the queries in `datasets/*.yaml`."""
    dictionary = load_dictionary()
    tables = [_table(dataset) for dataset in dictionary.values() if dataset.metrics]
    tables += [_query(path, dictionary) for path in sorted((HERE / "datasets").glob("*.yaml"))]
    return {table.name: table for table in tables}


def _table(dataset: Dataset, sql: str | None = None) -> Table:
    return Table(dataset, tuple(_calculated(dataset)), sql)


def _query(path: Path, dictionary: Mapping[str, Dataset]) -> Table:
    described = _read(path)
    columns = tuple(read_column(column, path.name) for column in described.get("columns", ()))
    metrics = tuple(read_metric(metric, path.name) for metric in described.get("metrics", ()))
    if "base" in described:
        base = dictionary[described["base"]]
        columns, metrics = base.columns + columns, base.metrics + metrics
        time, pick_one = base.time, base.pick_one
    else:
        time, pick_one = described.get("time"), ()
    dataset = Dataset(
        name=path.stem,
        title=described["title"],
        description=described["description"].strip(),
        primary_key=(),
        time=time,
        pick_one=tuple(column for column in pick_one if column not in described.get("fixes", ())),
        columns=columns,
        metrics=metrics,
        restricted=None,
    )
    check(dataset, path.name)
    return _table(dataset, sql=described["sql"].strip())


def _calculated(dataset: Dataset) -> Iterator[tuple[Column, str]]:
    """Columns that read better than the mart's own: names of codes, months and weeks of days, stages in their order."""
    for column in dataset.columns:
        if column.values:
            cases = " ".join(f"WHEN '{code}' THEN '{name}'" for code, name in column.values)
            others = "" if column.type == "boolean" else f" ELSE {column.name}"
            yield replace(column, name=f"{column.name}_ru", type="varchar"), f"CASE {column.name} {cases}{others} END"
    if dataset.time and dataset.column(dataset.time).type == "date":
        time = dataset.time
        # cut here and not by Superset's time grain, which makes the cut a moment and shows it in another zone
        for grain, label in {"week": "Неделя", "month": "Месяц"}.items():
            yield _made(f"{time}_{grain}", "date", label), f"CAST(DATE_TRUNC('{grain}', {time}) AS DATE)"
        yield _made("month_ru", "varchar", "Месяц (список)"), f"TO_CHAR({time}, 'YYYY-MM')"
        # by the portal's day and not by the reader's clock, which may be far from it
        now = "(SELECT DATE_TRUNC('month', as_of) FROM marts.publish_info)"
        yield _made("is_recent", "boolean", "Последние 25 месяцев"), f"({time} >= {now} - INTERVAL '24 months')"
        yield _made("is_over", "boolean", "Месяц закончился"), f"({time} < {now})"
    names = {column.name for column in dataset.columns}
    if {"weekday_num", "weekday_ru"} <= names:
        yield _made("weekday_in_order", "varchar", "День недели по порядку"), "CONCAT(weekday_num, '. ', weekday_ru)"
    for name, label, place, places in (
        ("stage", "Стадия по порядку", "stage_position", 2),
        ("client", "Клиент по порядку", "client_rank", 3),
    ):
        if {place, f"{name}_name"} <= names:  # charts put names in the order of letters
            number = f"LPAD(CAST({place} AS TEXT), {places}, '0')"
            yield _made(f"{name}_ru", "varchar", label), f"CONCAT_WS('. ', {number}, {name}_name)"
            if name == "stage":  # apart from the stages themselves, whose colours are those of the funnel
                yield _made("to_stage_ru", "varchar", "Переход в стадию"), f"CONCAT('→ ', {number}, '. ', stage_name)"


def _made(name: str, kind: str, label: str) -> Column:
    return Column(name=name, type=kind, label=label, definition="", additive=True, leaks=False)


def _dataset_yaml(table: Table) -> Yaml:
    dataset, expressions = table.dataset, {column.name: expression for column, expression in table.calculated}
    return {
        "table_name": table.name,
        "schema": SCHEMA,
        "description": f"{dataset.title}. {dataset.description}",
        "main_dttm_col": dataset.time,
        "sql": table.sql,
        "uuid": table.uuid,
        "database_uuid": _uuid("database", DATABASE),
        "version": VERSION,
        "filter_select_enabled": True,
        "normalize_columns": False,
        "always_filter_main_dttm": False,
        "columns": [_column_yaml(column, expressions.get(column.name)) for column in table.columns.values()],
        "metrics": [
            {
                "metric_name": metric.name,
                "verbose_name": metric.label,
                "expression": metric.expression,
                "description": metric.definition,
                "d3format": D3[metric.format],
                "metric_type": "expression",
            }
            for metric in dataset.metrics
        ],
    }


def _column_yaml(column: Column, expression: str | None) -> Yaml:
    hint = "" if column.additive else " Не складывается по строкам: для графиков есть показатели."
    label = SHORT.get(column.name, column.label)
    if label in SHORT.values() and column.name not in SHORT:
        label += ", код"
    return {
        "column_name": column.name,
        "verbose_name": label,
        "description": f"{column.label}. {column.definition}".strip() + hint,
        "type": column.type.upper(),
        "is_dttm": column.type in {"date", "timestamptz"},
        "is_active": True,
        # a number that does not add up is for reading rows: nothing is grouped by it, and only metrics aggregate
        "groupby": column.additive and not (column.type.startswith("decimal") or column.type == "double"),
        "filterable": True,
        "expression": expression,
    }


# --- charts -------------------------------------------------------------------------------------------------------


def _axis(chart: Chart) -> str:
    """What a chart over time stands on: the mart's day or month, or its week or month made of days."""
    grain = chart.options.get("grain", "month")
    time = chart.table.dataset.time
    if time is None:
        raise BundleError(f"{_at(chart)}: {chart.table.name} has no time, so nothing can be drawn along it.")
    return time if grain == "day" or time.endswith(f"_{grain}") else f"{time}_{grain}"


def _names(chart: Chart) -> list[str]:
    return [metric.name for metric in chart.metrics]


def _d3(metric: Metric) -> str:
    return D3[metric.format]


def _figure(chart: Chart) -> Yaml:
    return {
        "viz_type": "big_number",
        "metric": chart.metrics[0].name,
        "x_axis": _axis(chart),
        "compare_lag": 1,
        "compare_suffix": chart.options.get("compared", "к прошлому месяцу"),
        "show_timestamp": False,
        "show_trend_line": True,
        "start_y_axis_at_zero": True,
        "aggregation": "LAST_VALUE",
        "time_format": "%m.%Y",
        "y_axis_format": _d3(chart.metrics[0]),
        "header_font_size": 0.4,
        "subheader_font_size": 0.15,
        "color_picker": {"r": 31, "g": 168, "b": 201, "a": 1},
        "rolling_type": "None",
    }


def _number(chart: Chart) -> Yaml:
    return {
        "viz_type": "big_number_total",
        "metric": chart.metrics[0].name,
        "y_axis_format": _d3(chart.metrics[0]),
        "header_font_size": 0.3,
        "subheader_font_size": 0.125,
        "time_format": chart.options.get("time_format", "%d.%m.%Y"),
        "force_timestamp_formatting": "time_format" in chart.options,
    }


def _series(viz_type: str) -> Callable[[Chart], Yaml]:
    def params(chart: Chart) -> Yaml:
        over = chart.over
        axis = chart.table.shown(over) if over else _axis(chart)
        sort = _sort(chart)
        sorted_by = sort["label"] if isinstance(sort, dict) else sort or axis
        horizontal = chart.options.get("horizontal", False)
        # of stages, above all; what stands on each other with a rest at the end begins with the largest
        in_order = bool(chart.by) and not (chart.options.get("stack") and "others" in chart.options)
        return {
            "viz_type": viz_type,
            "x_axis": axis,
            "metrics": _names(chart),
            "groupby": [chart.table.shown(column) for column in chart.by],
            "xAxisForceCategorical": bool(over),
            "x_axis_sort": sorted_by if over else None,
            # a horizontal bar chart is drawn from below
            "x_axis_sort_asc": (sorted_by == axis) != horizontal if over else True,
            # with series the sum of a place decides
            "x_axis_sort_series": "sum" if over and chart.by else None,
            "x_axis_sort_series_ascending": horizontal,
            "timeseries_limit_metric": sort,
            # the largest series, and one for the rest; nothing is left out
            "limit": chart.options.get("others"),
            "group_others_when_limit_reached": "others" in chart.options,
            "sort_series_type": "name" if in_order else "sum",
            "sort_series_ascending": in_order,
            "x_axis_time_format": chart.options.get("time_format", "%m.%Y"),
            "tooltipTimeFormat": chart.options.get("time_format", "%m.%Y"),
            "y_axis_format": _d3(chart.metrics[0]),
            "orientation": "horizontal" if horizontal else "vertical",
            "stack": "Stack" if chart.options.get("stack") else None,
            "show_legend": len(chart.metrics) > 1 or bool(chart.by),
            "legendType": "scroll",
            "legendOrientation": "top",
            "show_value": chart.options.get("values", False),
            "rich_tooltip": True,
            "truncate_metric": True,
            "row_limit": chart.options.get("limit", 10000),
            "order_desc": True,
            "markerEnabled": viz_type == "echarts_timeseries_line",
            "markerSize": 5,
            "echart_options": "{xAxis: {axisLabel: {hideOverlap: true}}}" if horizontal else None,
        }

    return params


def _sort(chart: Chart) -> str | Yaml | None:
    """The metric to sort by; one that the chart does not show is written out, or Superset would draw it too."""
    name = chart.options.get("sort")
    if name is None or name in _names(chart):
        return name
    metric = chart.table.dataset.metric(name)
    return {"expressionType": "SQL", "sqlExpression": metric.expression, "label": metric.label}


def _combo(chart: Chart) -> Yaml:
    """Bars on the left axis, a line on the right: the first metric and the second."""
    over = chart.over
    axis = chart.table.shown(over) if over else _axis(chart)
    bars, line = chart.metrics
    return {
        "viz_type": "mixed_timeseries",
        "x_axis": axis,
        "xAxisForceCategorical": bool(over),
        "metrics": [bars.name],
        "groupby": [],
        "adhoc_filters_b": _where(chart),
        "metrics_b": [line.name],
        "groupby_b": [],
        "seriesType": "bar",
        "seriesTypeB": "line",
        "yAxisIndex": 0,
        "yAxisIndexB": 1,
        "order_desc": True,
        "order_desc_b": True,
        "row_limit": 10000,
        "row_limit_b": 10000,
        "markerEnabledB": True,
        "markerSizeB": 5,
        "x_axis_time_format": "%m.%Y",
        "tooltipTimeFormat": "%m.%Y",
        "y_axis_format": _d3(bars),
        "y_axis_format_secondary": _d3(line),
        "y_axis_bounds_secondary": [0, None],
        "show_legend": True,
        "legendType": "scroll",
        "legendOrientation": "top",
        "rich_tooltip": True,
        "truncate_metric": True,
        "truncate_metric_b": True,
    }


def _funnel(chart: Chart) -> Yaml:
    return {
        "viz_type": "funnel",
        "metric": chart.metrics[0].name,
        "groupby": [chart.table.shown(column) for column in chart.by],
        "color_scheme": FUNNEL_COLORS,
        "sort_by_metric": True,
        "percent_calculation_type": "first_step",
        "label_type": 5,  # name, value, share of the first step
        "tooltip_label_type": 5,
        "number_format": _d3(chart.metrics[0]),
        "show_labels": True,
        "show_tooltip_labels": True,
        "show_legend": False,
        "row_limit": 50,
    }


def _table_chart(chart: Chart) -> Yaml:
    by = [chart.table.shown(column) for column in chart.by]
    sort = chart.options.get("sort", chart.metrics[0].name)
    return {
        "viz_type": "table",
        "query_mode": "aggregate",
        "groupby": by,
        "metrics": _names(chart),
        "timeseries_limit_metric": sort.lstrip("-"),
        "order_desc": not sort.startswith("-"),
        "row_limit": chart.options.get("limit", 1000),
        "server_pagination": False,
        "page_length": 0,
        "include_search": chart.options.get("search", False),
        "show_cell_bars": False,
        "color_pn": False,
        "table_timestamp_format": chart.options.get("time_format", "%d.%m.%Y"),
        "column_config": {},
        "conditional_formatting": [
            {"column": column, "operator": sign, "targetValue": bound, "colorScheme": BAD if color == "bad" else GOOD}
            for column, sign, bound, color in chart.options.get("marks", ())
        ],
    }


def _pivot(chart: Chart) -> Yaml:
    return {
        "viz_type": "pivot_table_v2",
        "groupbyRows": [chart.table.shown(column) for column in chart.by],
        "groupbyColumns": [chart.table.shown(column) for column in chart.options["across"]],
        "metrics": _names(chart),
        "metricsLayout": "COLUMNS",
        "aggregateFunction": "Sum",
        "rowTotals": False,  # totals would add up ratios
        "colTotals": False,
        "order_desc": True,
        "rowOrder": "value_z_to_a",
        "colOrder": "key_a_to_z",
        "valueFormat": _d3(chart.metrics[0]),
        "date_format": "%m.%Y",
        "row_limit": 1000,
    }


def _heat(chart: Chart) -> Yaml:
    """A table of colours: one column along, another one down."""
    (down,) = chart.by
    return {
        "viz_type": "heatmap_v2",
        "x_axis": chart.table.shown(chart.options["over"]),
        "groupby": chart.table.shown(down),
        "metric": chart.metrics[0].name,
        "sort_x_axis": "alpha_asc",
        "sort_y_axis": "alpha_desc",  # drawn from below
        "normalize_across": "heatmap",
        "normalized": True,  # coloured by rank: one peak would leave all else pale
        "linear_color_scheme": "schemeBlues",
        "xscale_interval": 1,
        "yscale_interval": 1,
        "left_margin": 20,  # besides the labels
        "bottom_margin": 20,
        "value_bounds": [None, None],
        "y_axis_format": _d3(chart.metrics[0]),
        "show_legend": False,
        "show_percentage": False,
        "show_values": True,
        "border_color": {"r": 255, "g": 255, "b": 255, "a": 1},
        "border_width": 1,
        "row_limit": 10000,
    }


KINDS: Mapping[str, Callable[[Chart], Yaml]] = {
    "figure": _figure,
    "number": _number,
    "line": _series("echarts_timeseries_line"),
    "bar": _series("echarts_timeseries_bar"),
    "combo": _combo,
    "funnel": _funnel,
    "table": _table_chart,
    "pivot": _pivot,
    "heat": _heat,
}
ALONG_TIME = {"figure", "line", "bar", "combo"}  # unless they run over a column


def _where(chart: Chart) -> list[Yaml]:
    """The chart's own filters, and the hook on which the dashboard's period hangs."""
    filters = []
    if chart.table.dataset.time and chart.follows == "period":
        filters.append(_adhoc(chart.table.dataset.time, "TEMPORAL_RANGE", NEVER))
    for column, wanted in chart.where.items():
        values = dict(chart.table.columns[column].values) if isinstance(wanted, str) else {}
        if isinstance(wanted, dict):
            (sign, value), *_ = wanted.items()
            filters.append(_adhoc(column, sign, value))
        else:
            filters.append(_adhoc(chart.table.shown(column), "==", values.get(wanted, wanted)))
    return [*filters, *_having(chart)]


def _having(chart: Chart) -> Iterator[Yaml]:
    """Of the groups only those with one of the metrics beyond its bound."""
    bounds = [
        f"{chart.table.dataset.metric(name).expression} {sign} {bound}"
        for name, (sign, bound) in chart.options.get("having", {}).items()
    ]
    if bounds:
        yield {"clause": "HAVING", "expressionType": "SQL", "sqlExpression": " OR ".join(bounds)}


def _adhoc(column: str, operator: str, value: Any) -> Yaml:
    return {
        "clause": "WHERE",
        "expressionType": "SIMPLE",
        "subject": column,
        "operator": operator,
        "comparator": value,
    }


def _chart_yaml(chart: Chart) -> Yaml:
    params = KINDS[chart.kind](chart)
    return {
        "slice_name": chart.name,
        "description": chart.says,
        "viz_type": params["viz_type"],
        "params": {"adhoc_filters": _where(chart), "extra_form_data": {}, "color_scheme": COLORS, **params},
        "query_context": None,
        "cache_timeout": None,
        "uuid": chart.uuid,
        "dataset_uuid": chart.table.uuid,
        "version": VERSION,
    }


# --- dashboards ---------------------------------------------------------------------------------------------------

# filters of the dashboards: name, label, column
SELECTS = {
    "pipeline": ("Воронки", "pipeline_name"),
    "department": ("Отдел", "department_name"),
    "manager": ("Менеджер", "manager_name"),
    "channel": ("Канал", "channel_name_ru"),
}


@dataclass(frozen=True)
class Row:
    """Charts side by side."""

    tab: str  # the name of the page that it stands on; empty above the tabs, and on a dashboard without them
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Dashboard:
    """One dashboard: what its yaml says, its charts resolved."""

    slug: str
    described: Yaml
    rows: tuple[Row, ...]
    trust: Chart

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All charts, row by row."""
        return (self.trust, *(chart for row in self.rows for chart in row.charts))


def load_dashboards(tables: Mapping[str, Table]) -> list[Dashboard]:
    """The descriptions in `dashboards/*.yaml`, checked.

    Raises:
        BundleError: a chart names what is not there, says nothing, or could count rows several times.
    """
    dashboards = []
    for path in sorted((HERE / "dashboards").glob("*.yaml")):
        described = _read(path)
        number, tab, rows = 0, "", []
        for row in described["rows"]:
            tab, charts = row.get("tab", tab), []
            for chart in row["charts"]:
                number += 1
                charts.append(_chart(described["slug"], number, {"height": row["height"], **chart}, tables))
            if sum(chart.width for chart in charts) > GRID:
                raise BundleError(f"{path.name}: the row of {charts[0].name} is wider than {GRID} columns.")
            rows.append(Row(tab, tuple(charts)))
        trust = _chart(described["slug"], number + 1, TRUST, tables)
        dashboard = Dashboard(described["slug"], described, tuple(rows), trust)
        _check(dashboard)
        dashboards.append(dashboard)
    return dashboards


def _chart(dashboard: str, number: int, described: Yaml, tables: Mapping[str, Table]) -> Chart:
    rest = dict(described)
    at = f"{dashboard}, chart {rest.get('id')}"
    try:
        table = tables[rest.pop("dataset")]
        metrics = rest.pop("metrics", None) or [rest.pop("metric")]
        chart = Chart(
            dashboard=dashboard,
            id=rest.pop("id"),
            number=number,
            name=rest.pop("name"),
            says=rest.pop("says"),
            kind=rest.pop("kind"),
            table=table,
            metrics=tuple(_metric(table, name, at) for name in metrics),
            by=tuple(rest.pop("by", ())),
            where=rest.pop("where", {}),
            width=rest.pop("width"),
            height=rest.pop("height"),
            follows=rest.pop("follows", "period" if table.dataset.time else "nothing"),
            options=rest,
        )
    except KeyError as error:
        raise BundleError(f"{at}: {error} is missing or unknown.") from error
    named = [*chart.by, *chart.where, *chart.options.get("across", ()), *filter(None, [chart.over])]
    sort = chart.options.get("sort", metrics[0]).lstrip("-")
    for name in (sort, *chart.options.get("having", ()), *(mark[0] for mark in chart.options.get("marks", ()))):
        _metric(table, name, at)
    for column in named:
        if column not in table.columns:
            raise BundleError(f"{at}: {table.name} has no column {column}.")
    for option in chart.options.keys() - OPTIONS:
        raise BundleError(f"{at}: {option} is unknown; known are {', '.join(sorted(OPTIONS))}.")
    if chart.follows not in {"period", "month", "nothing"}:
        raise BundleError(f"{at}: follows is {chart.follows}; known are period, month, nothing.")
    if chart.kind not in KINDS:
        raise BundleError(f"{at}: the kind {chart.kind} is unknown; known are {', '.join(KINDS)}.")
    if chart.kind == "heat" and not (chart.over and len(chart.by) == 1):
        raise BundleError(f"{at}: a heat map needs one column along, in `over`, and one down, in `by`.")
    return chart


def _metric(table: Table, name: str, at: str) -> Metric:
    try:
        return table.dataset.metric(name)
    except StopIteration:
        raise BundleError(f"{at}: {table.name} has no metric {name}; add it to config.meta.bi of its yml.") from None


def _check(dashboard: Dashboard) -> None:
    """Refuse a chart that could count rows several times."""
    for chart in dashboard.charts:
        one = dashboard.described.get("pick_one", {})
        for column in chart.table.dataset.pick_one:
            if not (chart.narrowed(column) or column in one):
                raise BundleError(
                    f"{_at(chart)} could count rows several times: {chart.table.name} holds several values of "
                    f"{column}. Filter one in `where`, group `by` it, or name it in the dashboard's `pick_one`."
                )


def _at(chart: Chart) -> str:
    return f"{chart.dashboard}, chart {chart.id}"


def _filters(dashboard: Dashboard) -> list[Yaml]:
    """Native filters, each for the charts whose table has its column."""
    filters: list[Yaml] = []
    charts = dashboard.charts
    periodic = [chart for chart in charts if chart.follows == "period"]
    if periodic:
        filters.append(_filter(dashboard, "period", "Период", periodic, column=None))
    monthly = [chart for chart in charts if chart.follows == "month"]
    if monthly:
        filters.append(_filter(dashboard, "month", "Месяц", monthly, column="month_ru", first=""))
    pick_one: Mapping[str, Mapping[str, str]] = dashboard.described.get("pick_one", {})
    for column, one in pick_one.items():
        needing = [chart for chart in charts if column in chart.table.dataset.pick_one and not chart.narrowed(column)]
        filters.append(
            _filter(dashboard, f"one_{column}", one["label"], needing, column=column, first=one["largest"], single=True)
        )
    for name in dashboard.described.get("filters", SELECTS):
        label, column = SELECTS[name]
        having = [
            chart
            for chart in charts
            if column in chart.table.columns and not (column in pick_one and column in chart.table.dataset.pick_one)
        ]
        if having:
            filters.append(_filter(dashboard, name, label, having, column=column))
    return filters


def _filter(
    dashboard: Dashboard,
    name: str,
    label: str,
    charts: Sequence[Chart],
    *,
    column: str | None,
    first: str | None = None,
    single: bool = False,
) -> Yaml:
    """One filter. With `first` it is never empty; its default is the value with the largest such metric, or the last.

    The default is found when the page opens, so it is right for every portal.
    """
    inside = {chart.number for chart in charts}
    # a query takes longer to list its values than the mart under it
    target = min(charts, key=lambda chart: chart.table.sql is not None).table
    return {
        "id": f"NATIVE_FILTER-{dashboard.slug}-{name}",
        "type": "NATIVE_FILTER",
        "name": label,
        "description": "",
        "filterType": "filter_select" if column else "filter_time",
        "targets": [{"datasetUuid": target.uuid, "column": {"name": column}}] if column else [{}],
        "scope": {
            "rootPath": ["ROOT_ID"],
            "excluded": [chart.number for chart in dashboard.charts if chart.number not in inside],
        },
        "cascadeParentIds": [],
        "requiredFirst": first is not None,  # charts wait for the default
        "sortMetric": first or None,
        "controlValues": {
            "enableEmptyFilter": first is not None,
            **(
                {
                    "defaultToFirstItem": first is not None,
                    "multiSelect": not single,
                    "searchAllOptions": False,
                    "inverseSelection": False,
                    "sortAscending": first is None,
                }
                if column
                else {}
            ),
        },
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
    }


def _dashboard_yaml(dashboard: Dashboard) -> Yaml:
    numbers = [chart.number for chart in dashboard.charts]
    return {
        "dashboard_title": dashboard.described["title"],
        "description": dashboard.described["about"],
        "css": CSS,
        "slug": dashboard.slug,
        "uuid": _uuid("dashboard", dashboard.slug),
        "published": True,
        "position": _position(dashboard),
        "metadata": {
            "native_filter_configuration": _filters(dashboard),
            "color_scheme": "",  # each chart has its own
            "label_colors": {REST: GREY},
            "cross_filters_enabled": False,
            "refresh_frequency": 0,
            "chart_configuration": {},
            "global_chart_configuration": {
                "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
                "chartsInScope": numbers,
            },
        },
        "version": VERSION,
    }


def _position(dashboard: Dashboard) -> Yaml:
    """What the dashboard is about; rows of columns, each a chart and under it the sentence that says what it means."""
    rows = {f"ROW-{number}": row for number, row in enumerate(dashboard.rows, start=1)}
    named = dict.fromkeys(row.tab for row in dashboard.rows if row.tab)
    tabs = {tab: f"TAB-{number}" for number, tab in enumerate(named, start=1)}
    plain = [name for name, row in rows.items() if not row.tab]
    position: Yaml = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": dashboard.described["title"]}},
        "GRID_ID": {
            "id": "GRID_ID",
            "type": "GRID",
            "children": ["ROW-about", *plain, *(["TABS"] if tabs else [])],
            "parents": ["ROOT_ID"],
        },
    }
    if tabs:
        _place(position, "TABS", "TABS", list(tabs.values()), ["ROOT_ID", "GRID_ID"], {})
    for tab, key in tabs.items():
        on_it = [name for name, row in rows.items() if row.tab == tab]
        _place(position, key, "TAB", on_it, ["ROOT_ID", "GRID_ID", "TABS"], {"text": tab})
    above = ["ROOT_ID", "GRID_ID", "ROW-about"]
    _place(position, "ROW-about", "ROW", ["MARKDOWN-about", "COLUMN-trust"], above[:-1], CLEAR)
    about, trust = dashboard.described["about"], dashboard.trust
    said = {"code": about, "width": GRID - trust.width, "height": _height(about, GRID - trust.width)}
    _place(position, "MARKDOWN-about", "MARKDOWN", [], above, said)
    _place_chart(position, above, trust, _height(trust.says, trust.width))
    for name, row in rows.items():
        parents = ["ROOT_ID", "GRID_ID", *(["TABS", tabs[row.tab]] if row.tab else [])]
        below_charts = max(_height(chart.says, chart.width) for chart in row.charts)
        _place(position, name, "ROW", [f"COLUMN-{chart.id}" for chart in row.charts], parents, CLEAR)
        for chart in row.charts:
            _place_chart(position, [*parents, name], chart, below_charts)
    return position


def _place_chart(position: Yaml, parents: list[str], chart: Chart, height_below: int) -> None:
    """A column of the chart and, under it, what it says."""
    column = f"COLUMN-{chart.id}"
    children = [f"CHART-{chart.id}", f"MARKDOWN-{chart.id}"]
    _place(position, column, "COLUMN", children, parents, {**CLEAR, "width": chart.width})
    named = {"chartId": chart.number, "uuid": chart.uuid, "sliceName": chart.name}
    size = {"width": chart.width, "height": chart.height}
    _place(position, children[0], "CHART", [], [*parents, column], {**named, **size})
    said = {"code": chart.says, "width": chart.width, "height": height_below}
    _place(position, children[1], "MARKDOWN", [], [*parents, column], said)


def _height(sentence: str, width: int) -> int:
    """Of a sentence's box, in units of 8 pixels: 16 for a line, and the edges."""
    return 2 * -(-len(sentence) // (width * LETTERS)) + 2


def _place(position: Yaml, name: str, kind: str, children: list[str], parents: list[str], meta: Yaml) -> None:
    position[name] = {"id": name, "type": kind, "children": children, "parents": parents, "meta": meta}


# --- the bundle ---------------------------------------------------------------------------------------------------


def bundle() -> dict[str, str]:
    """The files of the bundle: path below `assets/` -> text."""
    tables = load_tables()
    dashboards = load_dashboards(tables)
    files: dict[str, Yaml] = {
        # the moment is part of the format; a fixed one keeps the file the same from build to build
        "metadata.yaml": {"version": VERSION, "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"},
        "databases/marts.yaml": _database_yaml(),
        **{f"datasets/marts/{table.name}.yaml": _dataset_yaml(table) for table in tables.values()},
    }
    for dashboard in dashboards:
        files[f"dashboards/{dashboard.slug}.yaml"] = _dashboard_yaml(dashboard)
        for chart in dashboard.charts:
            files[f"charts/{dashboard.slug}_{chart.id}.yaml"] = _chart_yaml(chart)
    return {
        path: yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120) for path, content in files.items()
    }


def _database_yaml() -> Yaml:
    return {
        "database_name": DATABASE,
        # host, port and user are put in at import, the password is given beside the bundle
        "sqlalchemy_uri": "postgresql+psycopg2://bi_reader@127.0.0.1:5432/marts",
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_file_upload": False,
        "cache_timeout": None,
        "extra": {"allows_virtual_table_explore": True},
        "uuid": _uuid("database", DATABASE),
        "version": VERSION,
    }


def _read(path: Path) -> Yaml:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def write(folder: Path = ASSETS) -> None:
    """Replace the folder by the bundle."""
    files = bundle()
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
