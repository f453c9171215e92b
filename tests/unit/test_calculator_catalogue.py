"""The reference calculator against the worked examples of the later marts, typed in by hand."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pipeline.calculator import forecast
from pipeline.portal_rows import (
    APRIL,
    EX4_SPEND,
    MARCH,
    Row,
    as_decimals,
    cells_of,
    deal,
    ex2_truth,
    ex4_truth,
    ex5_marts,
    history,
    lead,
    marts_of,
    moscow,
    picked,
    sale,
)

# client, day of the sale, amount
EX12_SALES = (
    (1, "05.10.25", 100), (1, "10.12.25", 100), (1, "15.03", 100), (2, "20.10.25", 200), (3, "03.11.25", 300),
    (3, "01.03", 300), (4, "15.11.25", 50), (4, "28.11.25", 50),
)  # fmt: skip


def ex12_truth() -> dict[str, list[Row]]:
    sales = enumerate(EX12_SALES, start=1)
    return {"deals": [sale(number, amount, won, CONTACT_ID=str(client)) for number, (client, won, amount) in sales]}


@pytest.fixture(scope="module")
def ex4() -> dict[str, list[Row]]:
    truth = ex4_truth()
    for row, manager in zip(truth["deals"], ("7", "7", "8", "8"), strict=True):
        row["ASSIGNED_BY_ID"] = manager
    return marts_of(truth, "30.04", ad_spend=EX4_SPEND)


@pytest.fixture(scope="module")
def ex12() -> dict[str, list[Row]]:
    return marts_of(ex12_truth(), "31.03")


def summed(rows: list[Row], *columns: str, **where: Any) -> list[Any]:
    return [sum(cell) for cell in zip(*picked(rows, columns, **where), strict=True)]


def test_ex13_repeat_sales(ex12: dict[str, list[Row]]) -> None:
    """The first sale of a client is none of his repeat ones; those who came back are counted at the month's end."""
    rows = ex12["repeat_sales"]
    columns = ("is_repeat_sale", "deals_won", "revenue", "clients")
    assert picked(rows, columns, period_month=MARCH, pipeline_key=0) == [(True, 2, 400, 2)]
    november = picked(rows, columns, period_month=date(2025, 11, 1), pipeline_key=0)
    assert sorted(november) == [(False, 2, 350, 2), (True, 1, 50, 1)]
    columns = ("period_month", "manager_key", "is_repeat_sale", "clients", "deals_won", "revenue")
    assert [row[:1] + row[3:] for row in picked(rows, columns, pipeline_key=-1)] == [
        (month, clients, 0, 0)
        for month, clients in (
            (date(2025, 10, 1), 2),
            (date(2025, 11, 1), 4),
            (date(2025, 12, 1), 4),
            (date(2026, 1, 1), 4),
            (date(2026, 2, 1), 4),
            (MARCH, 4),
        )
    ]
    shares = picked(rows, ("repeat_clients_share",), pipeline_key=-1, manager_key=0, is_repeat_sale=False)
    assert [share for (share,) in shares] == [0.0, 0.25, 0.5, 0.5, 0.5, 0.75]
    assert {row["repeat_clients_share"] for row in rows if row["pipeline_key"] == 0} == {None}


def test_losses_are_no_clients_of_a_month() -> None:
    """Whoever bought nothing is no client of the won deals; an unknown client never is."""
    deals = [
        sale(1, 10, "02.03"),
        deal(2, 20, moscow("02.03"), STAGE_ID="LOSE", CONTACT_ID="5"),
        sale(3, 30, "03.03", CONTACT_ID="6"),
    ]
    rows = marts_of({"deals": deals}, "10.04")["repeat_sales"]
    columns = ("deals_won", "revenue", "deals_lost", "lost_amount", "clients")
    assert picked(rows, columns, pipeline_key=0) == [(2, 40, 1, 20, 1)]


EX18 = {
    "yandex_direct": (2, 1, 1, 0, 1, 1, 120_000, 16),
    "vk_ads": (2, 0, 1, 1, 1, 1, 80_000, 23),
    "unknown": (1, 0, 1, 0, 1, 0, 0, 0),
}


def test_ex18_leads(ex4: dict[str, list[Row]]) -> None:
    """A lead keeps its own channel, whatever touched its client before."""
    columns = (
        "leads", "leads_junk", "leads_converted", "leads_open", "leads_with_deal", "leads_with_won", "revenue",
        "request_to_won_days_sum",
    )  # fmt: skip
    rows = [row for row in ex4["lead_statistics"] if row["date_day"].month == 3]
    assert {channel: tuple(summed(rows, *columns, channel_key=channel)) for channel in EX18} == EX18
    assert len(rows) == sum(row["leads"] for row in rows) == 5


def test_times_and_shares_of_leads() -> None:
    """Hours are those of the closed leads only, shares those of the row."""
    leads = [
        lead(1, moscow("02.03"), "JUNK", DATE_CLOSED=moscow("02.03", "10:30"), IS_RETURN_CUSTOMER="Y"),
        lead(2, moscow("02.03"), "CONVERTED", DATE_CLOSED=moscow("03.03"), UTM_CAMPAIGN=" Spring "),
        lead(3, moscow("02.03"), "NEW"),
    ]
    deals = [
        deal(4, 10, moscow("03.03"), STAGE_ID="WON", LEAD_ID="2", MOVED_TIME=moscow("09.03")),
        deal(5, 10, moscow("03.03"), STAGE_ID="WON", LEAD_ID="2", MOVED_TIME=moscow("04.03")),
    ]
    rows = marts_of({"leads": leads, "deals": deals}, "10.04")["lead_statistics"]
    columns = ("utm_campaign", "leads", "leads_repeat", "leads_closed", "lead_close_hours_sum", "junk_rate")
    assert picked(rows, (*columns, "lead_to_won", "request_to_won_days_sum", "revenue")) == [
        ("", 2, 1, 1, 1.5, 0.5, 0.0, 0, 0),
        ("spring", 1, 0, 1, 24.0, 0.0, 1.0, 2, 20),
    ]


def test_ex23_managers_by_channel(ex4: dict[str, list[Row]]) -> None:
    """A sale of April of a deal created in March leaves a row in both months."""
    columns = (
        "period_month", "manager_key", "channel_key", "deals_created", "deals_won", "deals_lost", "revenue",
        "cohort_won", "cohort_conversion",
    )  # fmt: skip
    assert sorted(picked(ex4["manager_channel_performance"], columns)) == [
        (MARCH, 7, "yandex_direct", 2, 1, 0, 120_000, 2, 1.0),
        (MARCH, 8, "unknown", 1, 0, 1, 0, 0, 0.0),
        (APRIL, 7, "yandex_direct", 0, 1, 0, 80_000, 0, None),
        (APRIL, 8, "email", 1, 1, 0, 50_000, 1, 1.0),
    ]


def test_ex25_losses() -> None:
    """A loss is put where the deal last really stood."""
    rows = marts_of(ex2_truth(), "10.04")["loss_analysis"]
    columns = ("lost_from_stage", "deals_lost", "lost_amount", "days_to_loss_sum", "entity", "stage_id")
    assert sorted(picked(rows, columns)) == [
        ("FINAL_INVOICE", 1, 60_000, 4, "deal", "LOSE"),
        ("NEW", 1, 20_000, 4, "deal", "LOSE"),
        ("PREPARATION", 1, 30_000, 3, "deal", "LOSE"),
    ]


def test_losses_of_leads() -> None:
    """A lead is lost from its last status in work, in the month of its closing."""
    names = [("NEW", ""), ("IN_PROCESS", "P"), ("JUNK", "F")]
    statuses = [
        {"ID": str(n), "ENTITY_ID": "STATUS", "STATUS_ID": name, "NAME": name.lower(), "SORT": "1", "SEMANTICS": kind}
        for n, (name, kind) in enumerate(names)
    ]
    junk = {"OPPORTUNITY": "70.00", "CURRENCY_ID": "RUB", "DATE_CLOSED": moscow("01.04", "00:30"), "SOURCE_ID": "CALL"}
    record = {"TYPE_ID": 1, "OWNER_ID": 1, "CREATED_TIME": moscow("30.03"), "STATUS_SEMANTIC_ID": "P"}
    truth = {
        "leads": [lead(1, moscow("30.03"), "JUNK", **junk), lead(2, moscow("30.03"), "JUNK")],
        "lead_stage_history": [
            {"ID": 1, **record, "STATUS_ID": "NEW"},
            {"ID": 2, **record, "STATUS_ID": "IN_PROCESS"},
            {"ID": 3, **record, "STATUS_ID": "JUNK", "STATUS_SEMANTIC_ID": "F"},
        ],
        "statuses": statuses,
    }
    rows = marts_of(truth, "10.04")["loss_analysis"]
    columns = ("entity", "period_month", "lost_from_stage", "loss_reason", "channel_key")
    assert picked(rows, (*columns, "deals_lost", "lost_amount", "days_to_loss_sum")) == [
        ("lead", APRIL, "IN_PROCESS", "junk", "call", 1, Decimal("70.00"), 2)
    ]


EX8_SALES = (("10.02", 100), ("05.03", 30), ("20.03", 90), ("10.04", 45), ("05.04.25", 20), ("20.04.25", 60))


def test_ex8_periods() -> None:
    """A month that still runs is fairly compared with as many days of the others."""
    deals = [sale(number, amount, won, CATEGORY_ID="4") for number, (won, amount) in enumerate(EX8_SALES, start=1)]
    rows = marts_of({"deals": deals}, "10.04")["period_comparison"]
    april = {"period_type": "month", "period_start": APRIL, "pipeline_key": 4, "metric": "revenue"}
    columns = (
        "value", "value_prev", "value_prev_same_days", "pct_prev", "pct_prev_same_days", "value_yoy",
        "value_yoy_same_days", "pct_yoy_same_days", "is_complete", "delta_yoy",
    )  # fmt: skip
    assert picked(rows, columns, **april) == [(45, 120, 30, -0.625, 0.5, 80, 20, 1.25, False, -35)]
    assert picked(rows, ("pct_prev", "is_complete"), **april | {"period_start": MARCH}) == [(0.2, True)]
    assert picked(rows, columns, **april) == picked(rows, columns, **april | {"pipeline_key": -1})


def test_periods_begin_with_the_first_event_and_end_with_the_running_one() -> None:
    """Metrics that begin later have zeros before; what lies before the first period is unknown."""
    truth = {"leads": [lead(1, moscow("29.12.25"), "NEW")], "deals": [sale(2, 10, "08.01")]}
    truth["deals"][0]["DATE_CREATE"] = moscow("02.01")
    rows = marts_of(truth, "09.01")["period_comparison"]
    leads = {"metric": "leads", "pipeline_key": -1}
    columns = ("period_start", "value", "value_prev", "value_prev_same_days", "pct_prev")
    weeks = picked(rows, columns, period_type="week", **leads)
    assert weeks == [(date(2025, 12, 29), 1, None, None, None), (date(2026, 1, 5), 0, 1, 1, -1.0)]
    years = picked(rows, columns, period_type="year", pipeline_key=0, metric="revenue")
    assert years == [(date(2025, 1, 1), 0, None, None, None), (date(2026, 1, 1), 10, 0, 0, None)]
    assert picked(rows, ("value",), metric="leads", pipeline_key=0) == []


def test_a_week_is_compared_with_its_number_a_year_ago() -> None:
    """Week 53 of 2026 has no week 53 in 2025; week 1 begins in December."""
    deals = [sale(number, 10 * number, won) for number, won in enumerate(("01.01.25", "31.12.25", "28.12"), start=1)]
    rows = marts_of({"deals": deals}, "31.12")["period_comparison"]
    weeks = {"period_type": "week", "metric": "revenue", "pipeline_key": 0}
    values = {start: values for start, *values in picked(rows, ("period_start", "value", "value_yoy"), **weeks)}
    assert values[date(2025, 12, 29)] == [20, 10]
    assert values[date(2026, 12, 28)] == [30, None]


def test_seasons_are_the_average_of_full_years() -> None:
    """Of January's shares 3 of 14 sales in 2024 and 1 of 12 in 2025; 2026 runs and does not count."""
    months = [f"{month:02d}" for month in range(1, 13)]
    wins = [f"10.{month}.{year}" for year in ("24", "25") for month in months] + ["20.01.24", "25.01.24", "03.01.26"]
    deals = [sale(number, 100, won) | {"DATE_CREATE": moscow("01.01.24")} for number, won in enumerate(wins, start=1)]
    rows = marts_of({"deals": deals}, "10.02.26")["period_comparison"]
    months_of = {"period_type": "month", "pipeline_key": -1, "metric": "revenue"}
    index = dict(picked(rows, ("period_start", "seasonality_index"), **months_of))
    # (300 / (1400 / 12) + 100 / 100) / 2 and (100 / (1400 / 12) + 1) / 2
    assert index[date(2026, 1, 1)] == index[date(2024, 1, 1)] == 1.7857
    assert index[date(2026, 2, 1)] == 0.9286
    assert {row["seasonality_index"] for row in rows if row["period_type"] != "month"} == {None}


def plan(scope: str, key: str, value: str, metric: str = "revenue", month: str = "2026-03-01") -> dict[str, str]:
    return {"period_month": month, "scope": scope, "scope_key": key, "metric": metric, "plan_value": value}


PACE = ("workdays_total", "workdays_elapsed", "attainment", "plan_to_date", "run_rate", "run_rate_attainment")


def test_ex10_plans() -> None:
    """On the evening of a workday that day is over; of two plans for one thing the later counts."""
    plans = [plan("company", "all", "5"), plan("company", "all", "1000000")]
    rows = marts_of({"deals": [sale(1, 300_000, "03.03")]}, "11.03", sales_plan=plans)["sales_plan_fact"]
    assert picked(rows, PACE) == [(22, 8, 0.3, Decimal("363636.36"), Decimal("825000.00"), 0.825)]


def test_holidays_move_the_pace() -> None:
    """A Monday off and a Saturday worked; before the first workday there is no pace."""
    holidays = [{"date": "2026-03-02", "is_workday": "0"}, {"date": "2026-03-14", "is_workday": "1"}]
    plans = [plan("company", "all", "220", "deals_won")]
    deals = {"deals": [sale(1, 1, "02.03"), sale(2, 1, "02.03")]}
    second = marts_of(deals, "02.03", sales_plan=plans, holidays=holidays)["sales_plan_fact"]
    assert picked(second, PACE) == [(22, 0, 0.0091, 0, None, None)]
    fifteenth = marts_of(deals, "15.03", sales_plan=plans, holidays=holidays)["sales_plan_fact"]
    assert picked(fifteenth, PACE) == [(22, 10, 0.0091, 100, Decimal("4.40"), 0.02)]


DEPARTMENTS = [{"ID": "1"}, {"ID": "2", "PARENT": "1"}, {"ID": "3", "PARENT": "9"}]
USERS = [
    {"ID": "7", "ACTIVE": True, "UF_DEPARTMENT": [1], "USER_TYPE": "employee"},
    {"ID": "8", "ACTIVE": True, "UF_DEPARTMENT": [2, 3], "USER_TYPE": "employee"},
]


def test_facts_of_plans_by_scope() -> None:
    """A department answers for all below it; a plan for a later month is not shown yet."""
    deals = [sale(1, 100, "03.03"), sale(2, 50, "04.03", CATEGORY_ID="4", ASSIGNED_BY_ID="8"), sale(3, 9, "04.02")]
    plans = [
        plan("company", "all", "300"),
        plan("department", "1", "200"),
        plan("department", "2", "0"),
        plan("manager", "8", "100"),
        plan("pipeline", "4", "4", "deals_won"),
        plan("pipeline", "4", "4", month="2026-04-01"),
    ]
    truth = {"deals": deals, "users": USERS, "departments": DEPARTMENTS}
    rows = marts_of(truth, "31.03", sales_plan=plans)["sales_plan_fact"]
    assert picked(rows, ("scope", "scope_key", "fact_value", "gap", "attainment")) == [
        ("company", "all", 150, -150, 0.5),
        ("department", "1", 150, -50, 0.75),
        ("department", "2", 50, 50, None),
        ("manager", "8", 50, -50, 0.5),
        ("pipeline", "4", 1, -3, 0.25),
    ]


def test_departments_in_a_ring_stand_alone() -> None:
    """A ring and a parent that does not exist are no hierarchy; what hangs below the ring still belongs to it."""
    departments = [
        {"ID": str(number), "PARENT": parent} for number, parent in ((1, "2"), (2, "1"), (3, "1"), (4, "9"), (5, "5"))
    ]
    users = [{"ID": str(10 + number), "ACTIVE": True, "UF_DEPARTMENT": [number]} for number in range(1, 6)]
    deals = [sale(number, 10, "03.03", ASSIGNED_BY_ID=str(10 + number)) for number in range(1, 6)]
    rows = marts_of({"deals": deals, "users": users, "departments": departments}, "31.03")["department_performance"]
    counts = picked(
        rows, ("department_key", "managers_count", "revenue_share"), rollup="with_children", period_month=MARCH
    )
    assert sorted(counts) == [(1, 2, 0.4), (2, 1, 0.2), (3, 1, 0.2), (4, 1, 0.2), (5, 1, 0.2)]


def test_ex20_departments() -> None:
    """Sums and medians of a department come from its people and deals, alone and with the departments below."""
    rows = ex5_marts(with_history=True, users=USERS, departments=DEPARTMENTS)["department_performance"]
    columns = ("department_key", "rollup", "revenue", "win_rate", "managers_count", "cycle_days_median", "plan_revenue")
    assert sorted(picked(rows, columns, period_month=MARCH)) == [
        (1, "own", 180_000, 0.75, 1, 10.0, 200_000),
        (1, "with_children", 360_000, 0.6667, 2, 10.0, 350_000),
        (2, "own", 180_000, 0.5, 1, 10.0, 150_000),
        (2, "with_children", 180_000, 0.5, 1, 10.0, 150_000),
    ]


# --- clients


EX11_SALES = (("a", "10.09.25"), ("b", "15.01"), ("c", "01.05.25"), ("c", "10.03"), ("d", "05.03"), ("e", "01.08.25"))


def test_ex11_retention() -> None:
    """Who bought within 180 days is there; the running month is not told of."""
    deals = [
        sale(number, 10, won, COMPANY_ID=str(ord(client))) for number, (client, won) in enumerate(EX11_SALES, start=1)
    ]
    deals.append(sale(9, 10, "05.03"))
    rows = marts_of({"deals": deals}, "10.04")["client_retention"]
    columns = (
        "clients_active_start", "clients_new", "clients_reactivated", "clients_churned", "clients_active_end",
        "churn_rate", "retention_rate",
    )  # fmt: skip
    assert picked(rows, columns, period_month=MARCH) == [(2, 1, 1, 1, 3, 0.5, 0.5)]
    assert [row["period_month"] for row in rows][0::10] == [date(2025, 5, 1), MARCH]
    assert picked(rows, columns, period_month=date(2025, 5, 1)) == [(0, 1, 0, 0, 1, None, None)]


def test_ex12_cohorts() -> None:
    """Months without sales keep their row; the running month has none yet."""
    rows = marts_of(ex12_truth(), "10.04")["client_cohort"]
    columns = ("month_number", "clients_active", "revenue", "cohort_size")
    october = picked(rows, columns, cohort_month=date(2025, 10, 1))
    assert october == [(0, 2, 300, 2), (1, 0, 0, 2), (2, 1, 100, 2), (3, 0, 0, 2), (4, 0, 0, 2), (5, 1, 100, 2)]
    november = {number: rest for number, *rest in picked(rows, columns, cohort_month=date(2025, 11, 1))}
    assert list(november) == [0, 1, 2, 3, 4]
    assert (november[0], november[4]) == ([2, 400, 2], [1, 300, 2])
    columns = ("month_number", "ltv", "retention", "revenue_cumulative")
    assert picked(rows, columns, cohort_month=date(2025, 10, 1))[5] == (5, 250, 0.5, 500)
    assert picked(rows, columns, cohort_month=date(2025, 11, 1))[4] == (4, 350, 0.5, 700)
    assert {row["gross_profit_cumulative"] for row in rows} == {None}


def test_ex26_rating(ex12: dict[str, list[Row]]) -> None:
    """Loyal clients by count and by money."""
    columns = ("client_key", "deals_won", "revenue", "lifetime_days", "purchase_interval_days", "revenue_rank")
    assert sorted(picked(ex12["client_rating"], (*columns, "is_regular"))) == [
        ("P1", 3, 300, 161, 80.5, 2, True),
        ("P2", 1, 200, 0, None, 3, False),
        ("P3", 2, 600, 118, 118.0, 1, True),
        ("P4", 2, 100, 13, 13.0, 4, True),
    ]
    columns = ("client_key", "deals_rank", "days_since_last_won", "avg_check", "abc_class")
    assert sorted(picked(ex12["client_rating"], columns)) == [
        ("P1", 1, 16, 100, "A"),
        ("P2", 4, 162, 200, "A"),
        ("P3", 2, 30, 300, "A"),
        ("P4", 2, 123, 50, "B"),
    ]


def test_a_client_without_sales_is_rated_too() -> None:
    """He has a deal, so he has a row; what he never bought is unknown."""
    deals = [deal(1, 10, moscow("02.03"), COMPANY_ID="5"), deal(2, 5, moscow("02.03"), STAGE_ID="LOSE", COMPANY_ID="5")]
    [row] = marts_of({"deals": [*deals, deal(3, 10, moscow("02.03"))]}, "10.04")["client_rating"]
    columns = ("deals_total", "deals_won", "deals_lost", "revenue", "gross_profit", "avg_check", "lifetime_days")
    assert [row[column] for column in columns] == [2, 0, 1, 0, 0, None, None]
    assert [row[column] for column in ("first_won_date", "abc_class", "discount_share", "is_regular")] == [
        None,
        None,
        None,
        False,
    ]


def test_the_favourite_product_has_the_largest_part_of_the_amounts() -> None:
    """Parts of the deals' amounts, not prices of rows, decide; equal ones give the lower key."""
    rows = [
        {"id": 1, "ownerId": 1, "productId": 50, "price": 30, "quantity": 1, "discountSum": 10},
        {"id": 2, "ownerId": 1, "productId": 40, "price": 10, "quantity": 1},
        {"id": 3, "ownerId": 2, "productId": 40, "price": 10, "quantity": 1},
    ]
    deals = [sale(1, 100, "02.03", COMPANY_ID="5"), sale(2, 50, "03.03", COMPANY_ID="5")]
    [row] = marts_of({"deals": deals, "deal_product_rows": rows}, "10.04")["client_rating"]
    assert (row["favourite_product_key"], row["discount_share"]) == (40, 0.1667)


def test_ex22_unit_economics() -> None:
    """The call centre is part of the full cost of a client; profit takes the place of revenue where it is known."""
    spend = [*EX4_SPEND[:4], EX4_SPEND[4] | {"cost": "35000"}]
    columns = ("marketing_cost", "sales_cost", "new_clients", "cac_marketing", "cac_full", "ltv", "ltv_to_cac")
    truth = ex4_truth()
    rows = marts_of(truth, "30.04", ad_spend=spend)["unit_economics"]
    assert picked(rows, (*columns, "ltv_margin"), period_month=MARCH) == [
        (65_000, 35_000, 1, 65_000, 100_000, 120_000, 0.36, 36_000)
    ]
    # 120 000 + 80 000 + 50 000 of two clients
    assert picked(rows, (*columns, "avg_check", "purchases_per_client"), period_month=APRIL) == [
        (0, 0, 1, None, None, 125_000, None, Decimal("83333.33"), 1.5)
    ]
    rows = marts_of(truth | {"products": []}, "30.04", ad_spend=spend)["unit_economics"]
    assert picked(rows, ("ltv_to_cac", "ltv_basis", "ltv_margin"), period_month=MARCH) == [(1.2, "revenue", None)]


# --- products


def test_ex19_margins() -> None:
    """The amount was set by hand: margins come from the parts of it, and only where the cost is known."""
    rows = [
        {"id": n, "ownerId": 1, "productId": n, "price": price, "quantity": 1}
        for n, price in ((1, 33), (2, 33), (3, 34))
    ]
    products = [{"id": 1, "purchasingPrice": 20, "purchasingCurrency": "RUB"}, {"id": 3, "purchasingPrice": 10}]
    cost = [
        {"product_id": "3", "valid_from": "2026-03-01", "cost": "10.00", "currency": ""},
        {"product_id": "3", "valid_from": "2026-03-03", "cost": "99.00", "currency": ""},
    ]
    truth = {"deals": [sale(1, 90, "02.03")], "deal_product_rows": rows, "products": products}
    marts = marts_of(truth, "10.04", product_cost=cost)
    columns = ("product_key", "revenue", "margin", "margin_rate", "cost_coverage", "row_amount", "avg_unit_price")
    assert [as_decimals(row) for row in picked(marts["product_performance"], columns)] == cells_of("""
        1 29.70 9.70  0.3266 1.0 33.00 33.00
        2 29.70 null  null   0.0 33.00 33.00
        3 30.60 20.60 0.6732 1.0 34.00 34.00
    """)
    assert [row["is_cost_historical"] for row in marts["product_performance"]] == [False, False, True]
    assert [row["gross_profit"] for row in marts["sales_dynamics"]] == [0, None]


def test_products_of_lost_and_open_deals() -> None:
    """What is lost stands in its month, what is open in the running one; an amount without rows has no product."""
    row = {"ownerId": 1, "productId": 5, "price": 10, "quantity": 2.5}
    rows = [row | {"id": 1}, row | {"id": 2, "ownerId": 2}, row | {"id": 3, "ownerId": 3, "price": 0}]
    deals = [
        deal(1, 50, moscow("02.03"), STAGE_ID="LOSE", MOVED_TIME=moscow("05.03")),
        deal(2, 100, moscow("02.03")),
        sale(3, 70, "06.03"),
    ]
    rows = marts_of({"deals": deals, "deal_product_rows": rows}, "10.04")["product_performance"]
    columns = ("period_month", "product_key", "deals_won", "quantity", "revenue", "lost_amount", "open_quantity")
    assert sorted(picked(rows, (*columns, "open_amount"))) == [
        (MARCH, 0, 1, 0, 70, 0, 0, 0),
        (MARCH, 5, 1, Decimal("2.5"), 0, 50, 0, 0),
        (APRIL, 5, 0, 0, 0, 0, Decimal("2.5"), 100),
    ]


def test_ranks_and_classes_of_products() -> None:
    """Places are those of the month, classes those of twelve months, both within a pipeline."""
    deals = [sale(1, 500, "10.04.25"), sale(2, 70, "11.04.25"), sale(3, 90, "02.04"), sale(4, 80, "03.04")]
    deals += [sale(5, 80, "04.04"), sale(6, 10, "04.04", CATEGORY_ID="4"), deal(7, 5, moscow("02.03"))]
    rows = [
        {"id": number, "ownerId": number, "productId": product, "price": 1, "quantity": 1}
        for number, product in ((1, 1), (2, 2), (3, 3), (4, 1), (5, 2), (6, 2), (7, 5))
    ]
    rows = marts_of({"deals": deals, "deal_product_rows": rows}, "10.04")["product_performance"]
    columns = ("pipeline_key", "product_key", "revenue_rank", "abc_class")
    # of 11.04.25 to 10.04.26: 150 of product 2, 90 of 3, 80 of 1; the bigger ones than it make 240 of 320
    assert sorted(picked(rows, columns, period_month=APRIL)) == [
        (0, 1, 2, "A"),
        (0, 2, 2, "A"),
        (0, 3, 1, "A"),
        (0, 5, 4, "N"),
        (4, 2, 1, "A"),
    ]
    # in April 2025: 570 of the two
    assert sorted(picked(rows, columns, period_month=date(2025, 4, 1))) == [(0, 1, 1, "A"), (0, 2, 2, "B")]


# --- single deals


def test_ex24_journeys(ex4: dict[str, list[Row]]) -> None:
    """The way of a client runs through his earlier deals as well."""
    columns = ("touch_path", "touches_count", "request_to_won_days", "cycle_days")
    assert picked(ex4["deal_journey"], columns, deal_id=12) == [("vk_ads > yandex_direct", 2, 23, 22)]
    assert picked(ex4["deal_journey"], columns, deal_id=14) == [("yandex_direct > yandex_direct > email", 3, 15, 15)]
    assert picked(ex4["deal_journey"], columns, deal_id=13) == [("unknown > unknown", 2, None, None)]


def test_stages_of_a_journey() -> None:
    """Every stay is told, returns too."""
    rows = marts_of(ex2_truth(), "10.04")["deal_journey"]
    columns = ("deal_id", "stage_path", "skipped_stages", "reopen_count", "days_in_stage", "is_stale")
    assert picked(rows, columns)[3:5] == [
        (4, "New > Preparation > Executing > Preparation", 0, 0, 32.13, True),
        (5, "New > Preparation > Executing > Final_invoice > Won > Executing", 0, 1, 29.13, True),
    ]
    assert picked(rows, columns, deal_id=6) == [(6, "Executing > Final_invoice > Lose", 2, 0, None, False)]


# stages of the closed deals and the day they were entered, all of March; the numbers of equal ones
EX9_CLOSED = (
    (3, [("NEW", 1), ("WON", 11)]),
    (1, [("NEW", 1), ("EXECUTING", 3), ("FINAL_INVOICE", 8), ("LOSE", 9)]),
    (1, [("NEW", 1), ("EXECUTING", 3), ("LOSE", 8)]),
    (2, [("NEW", 1), ("PREPARATION", 2), ("LOSE", 3)]),
    (1, [("NEW", 1), ("LOSE", 2)]),
)
EX9_OPEN = (
    (21, "NEW", 100_000, "05.04"), (22, "PREPARATION", 200_000, "05.04"), (23, "EXECUTING", 150_000, "09.02"),
    (24, "FINAL_INVOICE", 50_000, "05.04"),
)  # fmt: skip


def ex9_truth(**fields: Any) -> dict[str, list[Row]]:
    closed = [stays for count, stays in EX9_CLOSED for _ in range(count)]
    deals, records = [], []
    for number, stays in enumerate(closed, start=1):
        moments = [(stage, moscow(f"{day:02d}.03")) for stage, day in stays]
        deals.append(deal(number, 10, moscow("01.03"), STAGE_ID=stays[-1][0]))
        records += history(number, moments, first_id=10 * number)
    for number, stage, amount, since in EX9_OPEN:
        deals.append(deal(number, amount, moscow("01.02"), STAGE_ID=stage, **fields))
        records += history(number, [(stage, moscow(since))], first_id=10 * number)
    return {"deals": deals, "deal_stage_history": records}


FORECAST = ("deal_id", "win_probability", "probability_source", "weighted_amount", "stale_amount")


def test_ex9_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share won of those who came as far; an idle deal brings nothing."""
    monkeypatch.setattr(forecast, "MIN_SAMPLE", 1)
    rows = marts_of(ex9_truth(), "10.04")["revenue_forecast"]
    assert picked(rows, FORECAST) == [
        (21, 0.375, "stage", Decimal("37500.00"), 0),
        (22, 0.4286, "stage", Decimal("85714.29"), 0),
        (23, 0.6, "stage", 0, 150_000),
        (24, 0.75, "stage", Decimal("37500.00"), 0),
    ]
    assert sum(row["weighted_amount"] for row in rows) == Decimal("160714.29")
    assert [row["idle_days"] for row in rows] == [5, 5, 60, 5]


def test_probability_of_few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few as far: the field if anything is in it, else the share of the whole pipeline, else nothing."""
    assert {row[1:3] for row in picked(marts_of(ex9_truth(), "10.04")["revenue_forecast"], FORECAST)} == {(None, None)}
    rows = marts_of(ex9_truth(PROBABILITY="30"), "10.04")["revenue_forecast"]
    assert picked(rows, FORECAST)[0] == (21, 0.3, "field", Decimal("30000.00"), 0)
    monkeypatch.setattr(forecast, "MIN_SAMPLE", 8)
    rows = marts_of(ex9_truth(PROBABILITY="0"), "10.04")["revenue_forecast"]
    assert [row[1:3] for row in picked(rows, FORECAST)] == [(0.375, "stage")] + [(0.375, "pipeline")] * 3
    assert [row["deals_without_probability"] for row in rows] == [0, 0, 0, 0]


def test_expected_day() -> None:
    """A planned day that has not passed; else the usual days from this stage to success, 30 if nobody knows."""
    rows = marts_of(ex9_truth(CLOSEDATE=moscow("10.04")), "10.04")["revenue_forecast"]
    assert {row["expected_close_date"] for row in rows} == {date(2026, 4, 10)}
    rows = marts_of(ex9_truth(CLOSEDATE=moscow("09.04")), "10.04")["revenue_forecast"]
    # ten days from the first stage to success, nobody who won stood in the others
    assert picked(rows, ("expected_close_date", "expected_close_month")) == [
        (date(2026, 4, 20), APRIL),
        *[(date(2026, 5, 10), date(2026, 5, 1))] * 3,
    ]
