"""The dictionary of BI: the repository's own, against the specification of metrics; and what it refuses."""

import re
from pathlib import Path

import pytest
import yaml

from bi.dictionary import Dataset, DictionaryError, load_dictionary

FUNNEL, FLOW, SALES = "funnel_stage_conversion", "funnel_stage_flow", "sales_dynamics"
ROI, MANAGERS, ABC = "channel_roi", "manager_performance", "client_abc"

# the specification, written down apart from the models; PostgreSQL has no MEDIAN, so percentile_cont stands for it
SPECIFIED = [
    (FUNNEL, "m_deals_entered", "Сделок на стадии", "SUM(deals_entered)"),
    (FUNNEL, "m_stage_conversion", "Конверсия стадии", "SUM(deals_entered) / NULLIF(SUM(deals_entered_prev),0)"),
    (FUNNEL, "m_cumulative_conversion", "Конверсия от начала", "SUM(deals_entered) / NULLIF(SUM(deals_total),0)"),
    (
        FUNNEL,
        "m_funnel_conversion",
        "Конверсия воронки",
        "SUM(CASE WHEN is_won_stage THEN deals_entered END) / "
        "NULLIF(SUM(CASE WHEN stage_position=1 THEN deals_total END),0)",
    ),
    (FUNNEL, "m_lost_share", "Доля проигранных на стадии", "SUM(deals_lost)/NULLIF(SUM(deals_entered),0)"),
    (FUNNEL, "m_skip_share", "Доля пропусков стадии", "SUM(deals_skipped)/NULLIF(SUM(deals_total),0)"),
    (FUNNEL, "m_stay_hours", "Среднее время на стадии, ч", "SUM(stay_hours_sum)/NULLIF(SUM(deals_left),0)"),
    (
        "deal_stage_progress",
        "m_stay_hours_median",
        "Медиана времени на стадии",
        "PERCENTILE_CONT(0.5) WITHIN GROUP "
        "(ORDER BY CASE WHEN visits>0 AND NOT has_open_stay THEN stay_seconds END)/3600",
    ),
    (
        FLOW,
        "m_exit_conversion",
        "Конверсия выхода",
        "SUM(exits_forward)/NULLIF(SUM(exits)-SUM(exits_moved)-SUM(exits_other),0)",
    ),
    (SALES, "m_revenue", "Выручка", "SUM(revenue)"),
    (SALES, "m_deals_won", "Успешные сделки", "SUM(deals_won)"),
    (SALES, "m_avg_check", "Средний чек", "SUM(revenue)/NULLIF(SUM(deals_won),0)"),
    (SALES, "m_win_rate", "Доля выигранных", "SUM(deals_won)/NULLIF(SUM(deals_won)+SUM(deals_lost),0)"),
    (SALES, "m_cycle_days", "Цикл сделки, дней", "SUM(cycle_days_sum)/NULLIF(SUM(deals_won),0)"),
    (
        SALES,
        "m_repeat_share",
        "Доля повторных продаж",
        "SUM(CASE WHEN is_repeat_sale THEN deals_won END)/NULLIF(SUM(deals_won),0)",
    ),
    (
        SALES,
        "m_repeat_revenue_share",
        "Доля повторной выручки",
        "SUM(CASE WHEN is_repeat_sale THEN revenue END)/NULLIF(SUM(revenue),0)",
    ),
    (ROI, "m_cpl", "CPL", "NULLIF(SUM(spend),0)/NULLIF(SUM(leads),0)"),
    (ROI, "m_cpa", "CPA", "NULLIF(SUM(spend),0)/NULLIF(SUM(deals),0)"),
    (ROI, "m_cpo", "Стоимость продажи", "NULLIF(SUM(spend),0)/NULLIF(SUM(deals_won),0)"),
    (ROI, "m_cac", "CAC", "NULLIF(SUM(spend),0)/NULLIF(SUM(new_clients),0)"),
    (ROI, "m_romi", "ROMI", "(SUM(revenue)-SUM(spend))/NULLIF(SUM(spend),0)"),
    (
        ROI,
        "m_roi",
        "ROI",
        "CASE WHEN COUNT(*)=COUNT(gross_profit) THEN (SUM(gross_profit)-SUM(spend))/NULLIF(SUM(spend),0) END",
    ),
    (ROI, "m_drr", "ДРР", "SUM(spend)/NULLIF(SUM(revenue),0)"),
    (ROI, "m_ctr", "CTR", "SUM(clicks)/NULLIF(SUM(impressions),0)"),
    (ROI, "m_cpc", "Цена клика", "NULLIF(SUM(spend),0)/NULLIF(SUM(clicks),0)"),
    (ROI, "m_lead_to_deal", "Конверсия лидов в сделки", "SUM(leads_with_deal)/NULLIF(SUM(leads),0)"),
    (ROI, "m_lead_to_won", "Конверсия лидов в клиентов", "SUM(leads_with_won)/NULLIF(SUM(leads),0)"),
    (MANAGERS, "m_cohort_conversion", "Конверсия по созданным", "SUM(cohort_won)/NULLIF(SUM(deals_created),0)"),
    (MANAGERS, "m_revenue_share", "Вклад в продажи", "SUM(revenue)/NULLIF(SUM(SUM(revenue)) OVER (),0)"),
    (MANAGERS, "m_talk_hours", "Время разговоров, ч", "SUM(talk_hours)"),
    (MANAGERS, "m_missed_rate", "Доля пропущенных", "SUM(calls_missed)/NULLIF(SUM(calls_in),0)"),
    (MANAGERS, "m_short_call_share", "Доля звонков < 1 мин", "SUM(calls_short)/NULLIF(SUM(calls_connected),0)"),
    (MANAGERS, "m_calls_per_won", "Звонков на продажу", "SUM(calls_total)/NULLIF(SUM(deals_won),0)"),
    (MANAGERS, "m_tasks_on_time", "Задачи в срок", "SUM(tasks_on_time)/NULLIF(SUM(tasks_with_deadline_closed),0)"),
    (
        MANAGERS,
        "m_first_response",
        "Среднее время ответа, мин",
        "SUM(first_response_minutes_sum)/NULLIF(SUM(requests_answered),0)",
    ),
    ("revenue_forecast", "m_forecast", "Прогноз выручки", "SUM(weighted_amount)"),
    ("client_retention", "m_churn_rate", "Отток", "SUM(clients_churned)/NULLIF(SUM(clients_active_start),0)"),
    ("client_cohort", "m_ltv", "LTV", "SUM(revenue_cumulative)/NULLIF(SUM(cohort_size),0)"),
    ("client_cohort", "m_retention", "Удержание", "SUM(clients_active)/NULLIF(SUM(cohort_size),0)"),
    (
        "product_performance",
        "m_margin_rate",
        "Маржинальность",
        "SUM(margin)/NULLIF(SUM(CASE WHEN margin IS NOT NULL THEN revenue END),0)",
    ),
    (
        "product_performance",
        "m_discount_share",
        "Доля скидки",
        "SUM(discount_amount)/NULLIF(SUM(discount_amount)+SUM(row_amount),0)",
    ),
    ("service_quality", "m_fcr", "Решено с первого раза", "SUM(fcr_tickets)/NULLIF(SUM(fcr_base),0)"),
    ("service_quality", "m_csat", "CSAT", "SUM(csat_positive)/NULLIF(SUM(csat_answers),0)"),
    ("service_quality", "m_nps", "NPS", "100*(SUM(promoters)-SUM(detractors))/NULLIF(SUM(nps_answers),0)"),
    # nobody knows who opened a text message, so these are no part of the whole either
    (
        "campaign_engagement",
        "m_open_rate",
        "Открываемость",
        "SUM(opened)/NULLIF(SUM(CASE WHEN opened IS NOT NULL THEN delivered END),0)",
    ),
    ("campaign_engagement", "m_click_rate", "Переходы", "SUM(clicked)/NULLIF(SUM(delivered),0)"),
    (
        "project_performance",
        "m_budget_deviation",
        "Отклонение по бюджету",
        "(SUM(budget_fact)-SUM(budget_plan))/NULLIF(SUM(budget_plan),0)",
    ),
    (ABC, "m_abc_revenue_share", "Доля выручки класса", "SUM(revenue)/NULLIF(SUM(SUM(revenue)) OVER (),0)"),
]
# exactly one value of each must be filtered
PICK_ONE = {FUNNEL: ("funnel_type", "pipeline_name"), ROI: ("attribution_model", "date_basis"), ABC: ("as_of_month",)}
PICK_ONE |= {
    "period_comparison": ("period_type", "metric", "pipeline_name"),
    "loss_analysis": ("entity",),
    "sales_plan_fact": ("scope", "metric"),
    "department_performance": ("rollup",),
    "client_cohort": ("month_number",),
    "client_retention": ("period_month",),
}
RATIO = re.compile(r"(_rate|_conversion|_share|_median|_avg|_index|^rank_|^cp[acloq]|^cac$|^ro(i|mi|as)$)")

MART = """
models:
  - name: visits
    description: "Визиты. Grain: one row per day."
    config:
      meta:
        primary_key: [day]
        publish: true
        bi:
          title: Визиты
          time: day
          metrics:
            - {name: m_visits, label: Визиты, expression: "SUM(visits)", format: count, definition: "Сколько визитов."}
    columns:
      - {name: day, data_type: date, description: "День."}
      - {name: visits, data_type: bigint, description: "Визиты."}
      - {name: rate, data_type: double, description: "Доля. Of all.", config: {meta: {additive: false}}}
"""


@pytest.fixture(scope="module")
def dictionary() -> dict[str, Dataset]:
    return load_dictionary()


def test_metrics_are_those_of_the_specification(dictionary: dict[str, Dataset]) -> None:
    for dataset, name, label, expression in SPECIFIED:
        metric = dictionary[dataset].metric(name)
        assert (metric.label, _bare(metric.expression)) == (label, _bare(expression)), name


def test_mandatory_filters_are_those_of_the_specification(dictionary: dict[str, Dataset]) -> None:
    assert {name: dataset.pick_one for name, dataset in dictionary.items() if dataset.pick_one} == PICK_ONE


def test_one_name_has_one_label_and_one_format(dictionary: dict[str, Dataset]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for dataset in dictionary.values():
        names = [metric.name for metric in dataset.metrics]
        assert len(names) == len(set(names)), dataset.name
        for metric in dataset.metrics:
            assert seen.setdefault(metric.name, (metric.label, metric.format)) == (metric.label, metric.format)


def test_every_mart_of_numbers_has_metrics_a_time_and_russian_labels(dictionary: dict[str, Dataset]) -> None:
    folder = Path(__file__).parents[2] / "dbt_project" / "models" / "marts"
    marts = {path.stem for path in folder.glob("*.yml")}
    assert marts <= dictionary.keys()
    for name in marts - {"deal_fields", "lead_fields", "client_fields"}:  # lists of custom fields, nothing to add up
        dataset = dictionary[name]
        assert dataset.metrics and dataset.time, name
        labels = [column.label for column in dataset.columns]
        assert all(re.search("[А-Яа-я]", label) or re.fullmatch("[A-Z]+( [A-Z][a-z]+)?", label) for label in labels)
        assert len({*labels}) == len(labels), f"{name} has two columns of one label"


def test_ratios_are_marked_as_not_additive(dictionary: dict[str, Dataset]) -> None:
    for dataset in dictionary.values():
        for column in dataset.columns:
            if RATIO.search(column.name) and column.type.startswith(("double", "decimal", "bigint")):
                assert not column.additive, f"{dataset.name}.{column.name}"


def test_what_tells_about_others_is_marked(dictionary: dict[str, Dataset]) -> None:
    leaks = {
        (dataset.name, column.name) for dataset in dictionary.values() for column in dataset.columns if column.leaks
    }
    ranked = {"revenue_share", "rank_revenue", "rank_deals_won", "avg_check_vs_department", "load_index", "load_status"}
    company_wide = {("repeat_sales", "repeat_clients_share"), ("department_performance", "revenue_share")}
    company_wide |= {("revenue_forecast", "sample_deals"), ("revenue_forecast", "sample_won")}
    assert leaks == {(MANAGERS, column) for column in ranked} | company_wide
    shared = {name for name, dataset in dictionary.items() if dataset.restricted == "shared"}
    assert shared == {"dim_date", "dim_pipeline", "dim_stage", "dim_channel", "dim_department", "dim_currency"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"День."', '""', "column day needs a description of the form"),
        ("time: day", "time: month", "time names month, which is no column of visits"),
        ("title: Визиты", "title: Visits", "the title of visits is not Russian"),
        ("time: day", "pick_one: [kind]", "pick_one names kind, which is no column of visits"),
        ("SUM(visits)", "SUM(hits)", "metric m_visits reads hits, which is no column of visits"),
        ("SUM(visits)", "SUM(rate)", "metric m_visits sums rate, which does not add up"),
        ("label: Визиты, ", "", "metric m_visits lacks its label"),
        ("format: count", "format: number", "metric m_visits has the format number; known are money, count"),
        ('"Сколько визитов."', '"Сколько визитов"', "the definition of metric m_visits is not a Russian sentence"),
    ],
)
def test_a_contradiction_names_its_file_and_place(tmp_path: Path, before: str, after: str, message: str) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "marts").mkdir()
    assert before in MART
    (tmp_path / "marts" / "visits.yml").write_text(MART.replace(before, after), encoding="utf-8")
    with pytest.raises(
        DictionaryError, match=f"^marts/visits.yml.*{re.escape(message.removeprefix('marts/visits.yml'))}"
    ):
        load_dictionary(tmp_path)


def test_a_state_at_the_end_of_months_may_be_averaged_over_them(tmp_path: Path) -> None:
    (tmp_path / "marts").mkdir()
    averaged = yaml.safe_load(MART.replace("SUM(visits)", "SUM(rate) / NULLIF(COUNT(DISTINCT day), 0)"))
    (tmp_path / "marts" / "visits.yml").write_text(yaml.safe_dump(averaged, allow_unicode=True), encoding="utf-8")
    assert load_dictionary(tmp_path)["visits"].metric("m_visits").columns == {"rate", "day"}


def test_a_label_ends_at_its_full_stop_but_not_at_an_abbreviation(dictionary: dict[str, Dataset]) -> None:
    assert dictionary[ABC].column("month_cv").label == "Коэф. вариации"
    assert dictionary[ABC].column("r_score").label == "R"
    assert dictionary[MANAGERS].column("calls_short").label == "Короче 1 мин"


def _bare(expression: str) -> str:
    return re.sub(r"\s+", "", expression)
