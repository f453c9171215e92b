"""What a person sees on the dashboards, beside what the marts hold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from dashboards.conftest import Company
from dashboards.looking import Answer, Opened, Viewer
from psycopg import sql
from psycopg.rows import dict_row

from bi.superset.provision import ASSETS

pytestmark = pytest.mark.long
SLUGS = {"rukovoditelyu", "prodazhi", "marketing", "menedzhery"}


def test_every_dashboard_opens_with_data_and_without_an_error(
    opened: dict[str, Opened], say: Callable[[str], None]
) -> None:
    """A chart of a renamed column, a metric that the server refuses, a filter that leaves nothing."""
    assert set(opened) == SLUGS
    for slug, board in opened.items():
        assert board.errors == [], slug
        refused = {name: answer.status for name, answer in board.answers.items() if answer.status != 200}
        empty = [name for name, answer in board.answers.items() if not all(one["data"] for one in answer.results)]
        assert (refused, empty, board.charts - set(board.answers)) == ({}, [], set()), slug
        rows = sum(answer.rows for answer in board.answers.values())
        say(f"{board.title}: {len(board.answers)} charts, {rows} rows, no error box; screenshots/{slug}.png")


@dataclass(frozen=True)
class Shown:
    """A chart and a query of our own for the same numbers.

    Attributes:
        chart: its file in bi/superset/assets/charts.
        query: has `{where}` for the filters that stand on the dashboard, and the columns of the chart's data; of a
            chart with series `x`, `series`, `value`.
        time: the column that the period of the dashboard is about.
        result: which of the chart's queries.
    """

    chart: str
    query: str
    time: str
    result: int = 0


RECENT = "{} >= (select date_trunc('month', as_of) - interval '24 months' from marts.publish_info)"
RECENT_DAY, RECENT_COHORT = RECENT.format("date_day"), RECENT.format("cohort_month")
FUNNEL_STAGE = "lpad(stage_position::text, 2, '0') || '. ' || stage_name"
SHOWN = (
    Shown(
        "rukovoditelyu_revenue",
        "select date_trunc('month', date_day)::date as date_day_month, sum(revenue) as m_revenue "
        f"from marts.sales_dynamics where {RECENT_DAY} and extract(day from date_day) <= "
        "(select extract(day from as_of) from marts.publish_info) and {where} group by 1",
        "date_day",
    ),
    Shown(
        "marketing_leads",
        "select sum(leads) as m_leads from marts.channel_roi where attribution_model = 'last_touch' "
        "and date_basis = 'cohort' and {where}",
        "period_month",
    ),
    Shown(
        "rukovoditelyu_revenue_monthly",
        "select date_trunc('month', date_day)::date as x, pipeline_name as series, sum(revenue) as value "
        f"from marts.sales_dynamics where {RECENT_DAY} and {{where}} group by 1, 2",
        "date_day",
    ),
    Shown(
        "prodazhi_conversion_monthly",
        f"select cohort_month as x, {FUNNEL_STAGE} as series, "
        "sum(deals_entered)::numeric / nullif(sum(deals_entered_prev), 0) as value "
        f"from marts.funnel_stage_conversion where funnel_type = 'conversion' and stage_position > 1 "
        f"and {RECENT_COHORT} and {{where}} group by 1, 2",
        "cohort_month",
    ),
    Shown(
        "prodazhi_funnel_conversion",
        f"select {FUNNEL_STAGE} as stage_ru, sum(deals_entered) as m_deals_entered "
        "from marts.funnel_stage_conversion where funnel_type = 'conversion' and {where} group by 1",
        "cohort_month",
    ),
    Shown(
        "prodazhi_revenue_check",
        "select date_trunc('month', date_day)::date as date_day_month, sum(revenue) / nullif(sum(deals_won), 0) "
        f"as m_avg_check from marts.sales_dynamics where {RECENT_DAY} and {{where}} group by 1 "
        "having sum(deals_won) > 0",
        "date_day",
        result=1,
    ),
    Shown(
        "marketing_models",
        "select channel_name_ru, case attribution_model when 'first_touch' then 'По первому касанию' "
        "else 'По последнему касанию' end as attribution_model_ru, sum(revenue) as m_revenue "
        "from marts.channel_roi where date_basis = 'cohort' and {where} group by 1, 2",
        "period_month",
    ),
    Shown(
        "marketing_channels",
        "select channel_name_ru, sum(spend) as m_spend, sum(leads) as m_leads, sum(deals) as m_deals, "
        "sum(new_clients) as m_new_clients, sum(revenue) as m_revenue, sum(spend) / nullif(sum(leads), 0) as m_cpl, "
        "sum(spend) / nullif(sum(deals), 0) as m_cpa, sum(spend) / nullif(sum(new_clients), 0) as m_cac, "
        "sum(revenue) / nullif(sum(spend), 0) - 1 as m_romi from marts.channel_roi "
        "where attribution_model = 'last_touch' and date_basis = 'cohort' and {where} group by 1",
        "period_month",
    ),
)


def test_each_kind_of_chart_shows_what_the_marts_hold(
    company: Company, opened: dict[str, Opened], say: Callable[[str], None]
) -> None:
    """A total that counts rows several times, a share that is averaged, a month in the wrong zone."""
    answers = {name: answer for board in opened.values() for name, answer in board.answers.items()}
    kinds = set()
    for shown in SHOWN:
        answer = answers[title(shown.chart)]
        theirs, ours = rows_shown(answer, shown), rows_of_marts(company, answer, shown)
        assert theirs == ours, (shown.chart, sorted(theirs ^ ours, key=str)[:6])
        assert ours, shown.chart
        kinds.add(answer.kind)
        say(f"{answer.kind}: «{answer.chart}» shows {len(ours)} rows as the marts hold them")
    assert kinds == {answer.kind for answer in answers.values()}


def test_a_filter_changes_the_numbers(
    company: Company, viewer: Viewer, opened: dict[str, Opened], say: Callable[[str], None]
) -> None:
    """A filter that reaches no chart, or another one than it says."""
    board = next(board for board in company.dashboards if "/rukovoditelyu/" in board.url)
    shown = next(shown for shown in SHOWN if shown.chart == "rukovoditelyu_revenue")
    chart = title(shown.chart)
    before = viewer.open(board).answers[chart]
    after = viewer.choose("Воронки", "Сервис и ремонт")[chart]
    assert rows_shown(after, shown) == rows_of_marts(company, after, shown)
    assert "Сервис и ремонт" in str(chosen(after))
    assert rows_shown(before, shown) != rows_shown(after, shown)
    last = [max(rows_shown(answer, shown))[1] for answer in (before, after)]
    say(f"filter «Воронки» = «Сервис и ремонт»: the last month of «{chart}» goes from {last[0]:,.0f} to {last[1]:,.0f}")


def title(chart: str) -> str:
    """The name that a chart of the bundle has in Superset."""
    return str(yaml.safe_load((ASSETS / "charts" / f"{chart}.yaml").read_text(encoding="utf-8"))["slice_name"])


def rows_shown(answer: Answer, shown: Shown) -> set[tuple[Any, ...]]:
    """The chart's data; of a chart with series without the empty places of its grid."""
    data = answer.results[shown.result]["data"]
    if " as series" not in shown.query:
        return {tuple(plain(value) for _, value in sorted(row.items())) for row in data}
    x = answer.results[shown.result]["colnames"][0]
    return {
        (plain(row[x]), series, plain(value))
        for row in data
        for series, value in row.items()
        if series != x and value is not None
    }


def rows_of_marts(company: Company, answer: Answer, shown: Shown) -> set[tuple[Any, ...]]:
    """The same from PostgreSQL, with the filters that the browser sent."""
    result = answer.results[shown.result]
    terms: list[sql.Composable] = [sql.SQL("true")]
    for one in chosen(answer):
        assert one["op"] == "IN"
        terms.append(sql.SQL("{}::text = any({})").format(sql.Identifier(one["col"]), sql.Literal(one["val"])))
    for bound, sign in (("from_dttm", ">="), ("to_dttm", "<")):
        if result.get(bound):
            day = datetime.fromtimestamp(result[bound] / 1000, UTC).date()
            terms.append(sql.SQL(f"{{}} {sign} {{}}").format(sql.Identifier(shown.time), sql.Literal(day)))
    where = sql.SQL(" and ").join(terms)
    with psycopg.connect(company.marts_url, row_factory=dict_row) as con:
        rows = con.execute(sql.SQL(shown.query).format(where=where)).fetchall()
    if " as series" in shown.query:
        return {(plain(row["x"]), row["series"], plain(row["value"])) for row in rows if row["value"] is not None}
    return {tuple(plain(value) for _, value in sorted(row.items())) for row in rows}


def chosen(answer: Answer) -> list[dict[str, Any]]:
    """What the dashboard's own filters added to the chart's question."""
    filters: list[dict[str, Any]] = answer.request["form_data"].get("extra_form_data", {}).get("filters", [])
    return filters


def plain(value: Any) -> Any:
    """Numbers to six digits after the point, days as Superset writes them: milliseconds."""
    if isinstance(value, Decimal | float | int):
        return round(float(value), 6)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1000
    return value


def test_screenshots_are_there(opened: dict[str, Opened]) -> None:
    """The pictures of the README are taken from them."""
    for slug in opened:
        assert (Path(__file__).parents[2] / "screenshots" / f"{slug}.png").stat().st_size > 50_000
