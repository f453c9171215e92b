"""What a person sees on the dashboards, beside what the marts hold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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

from bi.superset.provision import ASSETS, Dashboard

pytestmark = pytest.mark.long
TABS = {
    "rukovoditelyu": 1,
    "prodazhi": 4,
    "marketing": 3,
    "menedzhery": 1,
    "klienty": 1,
    "zvonki-i-zadachi": 3,
    "servis-i-proekty": 2,
}


def test_every_dashboard_opens_with_data_and_without_an_error(
    opened: dict[str, Opened], say: Callable[[str], None]
) -> None:
    """A chart of a renamed column, a metric that the server refuses, a filter that leaves nothing."""
    assert {slug: len(board.tabs) for slug, board in opened.items()} == TABS
    for slug, board in opened.items():
        assert board.errors == [], slug
        refused = {name: answer.status for name, answer in board.answers.items() if answer.status != 200}
        empty = [name for name, answer in board.answers.items() if not all(one["data"] for one in answer.results)]
        assert (refused, empty, board.charts - set(board.answers)) == ({}, [], set()), slug
        rows = sum(answer.rows for answer in board.answers.values())
        say(
            f"{board.title}: {len(board.tabs)} tabs, {len(board.answers)} charts, {rows} rows, no error box; "
            f"screenshots/{slug}*.png"
        )


def test_every_dashboard_says_whether_its_numbers_can_be_trusted(company: Company, opened: dict[str, Opened]) -> None:
    with psycopg.connect(company.marts_url) as con:
        (failed,) = (
            con.execute(
                "select count(*) from marts.data_quality where not is_ok and check_name <> 'overall'"
            ).fetchone()
            or ()
        )
    said = "Есть замечания" if failed else "В порядке"
    for slug, board in opened.items():
        (row,) = board.answers["Данные"].results[0]["data"]
        assert (row["verdict"], row["m_remarks"]) == (said, failed), slug


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
RECENT_DAY, RECENT_COHORT, RECENT_MONTH = map(RECENT.format, ("date_day", "cohort_month", "period_month"))
OVER_COHORT = "cohort_month < (select date_trunc('month', as_of) from marts.publish_info)"
FUNNEL_STAGE = "lpad(stage_position::text, 2, '0') || '. ' || stage_name"
SELECTS = (
    ("Воронки", "pipeline_name"),
    ("Отдел", "department_name"),
    ("Менеджер", "manager_name"),
    ("Канал", "channel_name_ru"),
)
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
        f"select cohort_month as x, '→ ' || {FUNNEL_STAGE} as series, "
        "sum(deals_entered)::numeric / nullif(sum(deals_entered_prev), 0) as value "
        f"from marts.funnel_stage_conversion where funnel_type = 'conversion' and stage_position > 1 "
        f"and {RECENT_COHORT} and {OVER_COHORT} and {{where}} group by 1, 2 having sum(deals_entered_prev) >= 5",
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
        "sum(new_clients) as m_new_clients, sum(revenue) as m_revenue, "
        "nullif(sum(spend), 0) / nullif(sum(leads), 0) as m_cpl, "
        "nullif(sum(spend), 0) / nullif(sum(deals), 0) as m_cpa, "
        "nullif(sum(spend), 0) / nullif(sum(new_clients), 0) as m_cac, "
        "sum(revenue) / nullif(sum(spend), 0) - 1 as m_romi from marts.channel_roi "
        "where attribution_model = 'last_touch' and date_basis = 'cohort' and {where} group by 1",
        "period_month",
    ),
    Shown(
        "menedzhery_rating",
        "select manager_name, department_name, sum(revenue) as m_revenue, sum(plan_revenue) as m_plan_revenue, "
        "sum(deals_won) as m_deals_won, sum(revenue) / nullif(sum(deals_won), 0) as m_avg_check, "
        "sum(revenue) filter (where plan_revenue is not null) / nullif(sum(plan_revenue), 0) "
        "as m_manager_plan_attainment, sum(deals_won) / nullif(sum(deals_closed), 0) as m_win_rate, "
        "sum(cohort_won) / nullif(sum(deals_created), 0) as m_cohort_conversion "
        "from (select *, to_char(period_month, 'YYYY-MM') as month_ru from marts.manager_performance) as months "
        "where {where} group by 1, 2 having sum(revenue) <> 0 or sum(plan_revenue) > 0",
        "period_month",
    ),
    Shown(
        "menedzhery_revenue_monthly",
        f"with recent as (select * from marts.manager_performance where {RECENT_MONTH} and {{where}}), "
        "largest as (select manager_name from recent group by 1 order by sum(revenue) desc limit 8) "
        "select period_month as x, coalesce(largest.manager_name, 'Остальные') as series, sum(revenue) as value "
        "from recent left join largest using (manager_name) group by 1, 2",
        "period_month",
    ),
    Shown(
        "prodazhi_expected_monthly",
        "with months as ("
        "select date_trunc('month', date_day)::date as period_month, revenue as won, 0 as weighted, {x} "
        "from marts.sales_dynamics "
        "union all select expected_close_month, 0, weighted_amount, {x} from marts.revenue_forecast) "
        "select period_month, sum(won) as m_won, sum(weighted) as m_weighted from months, marts.publish_info "
        "where period_month between date_trunc('month', as_of) - interval '5 months' "
        "and date_trunc('month', as_of) + interval '1 year' and {where} group by 1".replace(
            "{x}", "pipeline_name, manager_name, department_name, channel_name_ru"
        ),
        "period_month",
    ),
    Shown(
        "prodazhi_loss_reasons",
        "select loss_reason, sum(lost_amount) as m_lost_amount from marts.loss_analysis "
        "where entity = 'deal' and {where} group by 1",
        "period_month",
    ),
    Shown(
        "prodazhi_comparison_revenue",
        "select case period_type when 'week' then 'Неделя' when 'month' then 'Месяц' when 'quarter' then 'Квартал' "
        "else 'Год' end as period_type_ru, value as m_value, value_prev_same_days as m_value_prev, "
        "delta_prev_same_days / nullif(greatest(value_prev_same_days, 0), 0) as m_pct_prev, "
        "value_yoy_same_days as m_value_yoy, "
        "delta_yoy_same_days / nullif(greatest(value_yoy_same_days, 0), 0) as m_pct_yoy "
        "from marts.period_comparison where not is_complete and metric = 'revenue' and pipeline_key = -1 and {where}",
        "period_start",
    ),
    Shown(
        "klienty_cohorts",
        "select to_char(cohort_month, 'YYYY-MM') as month_ru, month_number, "
        "sum(clients_active) / sum(cohort_size) as m_retention "
        f"from marts.client_cohort where month_number > 0 and {RECENT_COHORT} and {{where}} group by 1, 2",
        "cohort_month",
    ),
    Shown(
        "klienty_abc_moves",
        "with late as (select * from marts.client_abc where as_of_month = (select max(as_of_month) "
        "from marts.client_abc)), early as (select * from marts.client_abc where as_of_month = "
        "(select max(as_of_month) - interval '1 year' from marts.client_abc)) "
        "select coalesce(prev_abc_class, 'Не покупал') as class_before, abc_class as class_now, count(*) as m_clients "
        "from late where {where} group by 1, 2 union all "
        "select abc_class, 'Не покупает', count(*) from early "
        "where client_key not in (select client_key from late) group by 1, 2",
        "as_of_month",
    ),
    Shown(
        "zvonki-i-zadachi_heat",
        "select weekday_num || '. ' || weekday_ru as weekday_in_order, hour, sum(calls) as m_calls "
        "from marts.call_analytics where {where} group by 1, 2",
        "date_day",
    ),
    Shown(
        "rukovoditelyu_quality",
        "select check_title, subject_name, explanation, (not is_ok)::int as m_quality_issues, value as m_check_value, "
        "threshold as m_check_threshold from marts.data_quality "
        "where check_name <> 'overall' and threshold is not null and {where}",
        "checked_at",
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


@pytest.mark.parametrize(
    ("chart", "filter_name", "column"),
    [
        *(("rukovoditelyu_revenue", *one) for one in SELECTS),
        *(("prodazhi_revenue_check", *one) for one in SELECTS),
        ("prodazhi_funnel_conversion", "Воронка для стадий", "pipeline_name"),
        ("marketing_channels", "Канал", "channel_name_ru"),
        ("menedzhery_rating", "Отдел", "department_name"),
        ("menedzhery_rating", "Менеджер", "manager_name"),
        ("menedzhery_rating", "Месяц", "month_ru"),
        ("zvonki-i-zadachi_heat", "Менеджер", "manager_name"),
    ],
)
def test_a_filter_changes_the_numbers(
    company: Company, viewer: Viewer, say: Callable[[str], None], chart: str, filter_name: str, column: str
) -> None:
    """A filter that reaches no chart, or another one than it says."""
    shown = next(shown for shown in SHOWN if shown.chart == chart)
    before = viewer.open(board_of(company, shown), tab_of(shown)).answers[title(chart)]
    taken = [value for one in chosen(before) if one["col"] == column for value in one["val"]]
    option = largest(company, column, taken)
    after = viewer.choose(filter_name, option)[title(chart)]
    assert option in str(chosen(after))
    compare(company, shown, before, after)
    say(f"«{title(chart)}»: filter «{filter_name}» = «{option}» leaves what the marts hold")


@pytest.mark.parametrize(
    "chart",
    [
        "rukovoditelyu_revenue_monthly",
        "prodazhi_revenue_check",
        "marketing_leads",
        "menedzhery_revenue_monthly",
        "klienty_cohorts",
        "zvonki-i-zadachi_heat",
    ],
)
def test_the_period_changes_the_numbers(
    company: Company, viewer: Viewer, say: Callable[[str], None], chart: str
) -> None:
    """A chart of another time than the one that was chosen."""
    shown = next(shown for shown in SHOWN if shown.chart == chart)
    before = viewer.open(board_of(company, shown), tab_of(shown)).answers[title(chart)]
    with psycopg.connect(company.marts_url) as con:
        (end,) = con.execute("select date_trunc('month', as_of)::date from marts.publish_info").fetchone() or ()
    start = (end - timedelta(days=80)).replace(day=1)
    after = viewer.choose_period("Период", start, end)[title(chart)]
    result = after.results[shown.result]
    assert [datetime.fromtimestamp(result[key] / 1000, UTC).date() for key in ("from_dttm", "to_dttm")] == [start, end]
    compare(company, shown, before, after)
    say(f"«{title(chart)}»: the period from {start} to {end} leaves what the marts hold")


def compare(company: Company, shown: Shown, before: Answer, after: Answer) -> None:
    """The chart shows other numbers than before, and those of the marts."""
    theirs, ours = rows_shown(after, shown), rows_of_marts(company, after, shown)
    assert theirs == ours, sorted(theirs ^ ours, key=str)[:6]
    assert ours
    assert theirs != rows_shown(before, shown)


def largest(company: Company, column: str, taken: list[str]) -> str:
    """The value with the largest revenue of the last months that is not chosen yet."""
    with psycopg.connect(company.marts_url) as con:
        row = con.execute(
            sql.SQL(
                "select {column} from (select *, to_char(date_day, 'YYYY-MM') as month_ru from marts.sales_dynamics) "
                "as days where date_day >= (select date_trunc('month', as_of) - interval '1 month' "
                "from marts.publish_info) and not {column} = any({taken}) group by 1 order by sum(revenue) desc limit 1"
            ).format(column=sql.Identifier(column), taken=sql.Literal(taken))
        ).fetchone()
    assert row
    return str(row[0])


def board_of(company: Company, shown: Shown) -> Dashboard:
    """The dashboard that has the chart."""
    return next(board for board in company.dashboards if f"/{shown.chart.partition('_')[0]}/" in board.url)


def tab_of(shown: Shown) -> str:
    """The tab that it stands on; empty on a dashboard without tabs."""
    slug, _, chart = shown.chart.partition("_")
    position = yaml.safe_load((ASSETS / "dashboards" / f"{slug}.yaml").read_text(encoding="utf-8"))["position"]
    above = (position[parent] for parent in position[f"CHART-{chart}"]["parents"])
    return next((place["meta"]["text"] for place in above if place["type"] == "TAB"), "")


def title(chart: str) -> str:
    """The name that a chart of the bundle has in Superset."""
    return str(yaml.safe_load((ASSETS / "charts" / f"{chart}.yaml").read_text(encoding="utf-8"))["slice_name"])


def rows_shown(answer: Answer, shown: Shown) -> set[tuple[Any, ...]]:
    """The chart's data; of a chart with series without the empty places of its grid, of a heat map without ranks."""
    data = answer.results[shown.result]["data"]
    if " as series" not in shown.query:
        return {tuple(plain(value) for name, value in sorted(row.items()) if name != "rank") for row in data}
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
