"""The reference calculator against the worked examples of the catalogue of marts, typed in by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pipeline.calculator import allocated, calculate
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.portal_rows import (
    APRIL,
    EX4_SPEND,
    MARCH,
    PATH,
    Row,
    activity,
    as_decimals,
    call,
    cells_of,
    currencies,
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
    statuses,
    task,
    utc,
)

# --- EX-1: allocation of a deal's amount


@pytest.mark.parametrize(
    ("amount", "rows", "expected"),
    [
        ("90.00", ("33.00", "33.00", "34.00"), ("29.70", "29.70", "30.60")),
        ("100.00", ("10.00", "10.00", "10.00"), ("33.33", "33.34", "33.33")),
        ("50.00", ("0.00", "0.00"), ("0.00", "0.00")),
    ],
)
def test_ex1_allocated_parts_are_whole_kopecks_and_sum_up(
    amount: str, rows: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Parts rounded one by one would lose or invent kopecks."""
    assert allocated(Decimal(amount), [Decimal(row) for row in rows]) == [Decimal(part) for part in expected]


def test_main_product_is_that_of_the_largest_row() -> None:
    """A cheap product bought in number outweighs a dear one; equal rows give the older one."""
    products = [
        {"id": 3, "ownerId": 1, "productId": 30, "price": 500, "quantity": 1},
        {"id": 4, "ownerId": 1, "productId": 0, "price": 100.5, "quantity": 6},
        {"id": 5, "ownerId": 1, "productId": 50, "price": 603, "quantity": 1},
    ]
    marts = marts_of({"deals": [deal(1, 1000, moscow("02.03"))], "deal_product_rows": products}, "10.04")
    assert {row["main_product_key"] for row in marts["deal_stage_progress"]} == {-1}


# --- EX-2, EX-3: funnels


@pytest.fixture(scope="module")
def ex2() -> dict[str, list[Row]]:
    return marts_of(ex2_truth(), "10.04")


EX2_TABLE = """
conversion NEW           7 380000 7 1.0000 1.0000 0 0 0     0
conversion PREPARATION   7 380000 7 1.0000 1.0000 0 1 30000 1
conversion EXECUTING     6 350000 7 0.8571 0.8571 1 1 20000 2
conversion FINAL_INVOICE 4 290000 6 0.6667 0.5714 1 1 60000 2
conversion WON           2 150000 4 0.5000 0.2857 0 0 0     0
classic    NEW           6 320000 7 0.8571 0.8571 0 1 20000 null
classic    PREPARATION   4 250000 6 0.6667 0.5714 1 1 30000 null
classic    EXECUTING     6 350000 4 1.5000 0.8571 1 0 0     null
classic    FINAL_INVOICE 3 240000 6 0.5000 0.4286 0 1 60000 null
classic    WON           2 150000 3 0.6667 0.2857 0 0 0     null
"""
EX2_COLUMNS = (
    "funnel_type",
    "stage_id",
    "deals_entered",
    "amount_entered",
    "deals_entered_prev",
    "stage_conversion",
    "cumulative_conversion",
    "deals_open",
    "deals_lost",
    "amount_lost",
    "deals_dropped",
)


def test_ex2_funnels(ex2: dict[str, list[Row]]) -> None:
    """Skips, steps back, a reopening and losses in one cell; `conversion` and `classic` differ just as printed."""
    funnel = ex2["funnel_stage_conversion"]
    assert [as_decimals(row) for row in picked(funnel, EX2_COLUMNS)] == cells_of(EX2_TABLE)
    assert {row["deals_total"] for row in funnel} == {7}
    assert {(row["pipeline_key"], row["cohort_month"], row["manager_key"], row["channel_key"]) for row in funnel} == {
        (0, MARCH, 7, "unknown")
    }
    assert [row["is_won_stage"] for row in funnel] == [False, False, False, False, True] * 2


@pytest.mark.parametrize("funnel_type", ["conversion", "classic"])
def test_ex2_columns_equal_in_both_funnels(ex2: dict[str, list[Row]], funnel_type: str) -> None:
    """Skips, returns and times do not depend on the way of counting."""
    columns = ("deals_skipped", "deals_returned", "stay_hours_median", "deals_left", "stay_hours_sum", "deals_reopened")
    assert picked(ex2["funnel_stage_conversion"], columns, funnel_type=funnel_type) == [
        (1, 1, 24.0, 6, 162.0, 1),
        (3, 1, 48.0, 3, 144.0, 0),
        (0, 1, 24.0, 5, 138.0, 0),
        (1, 0, 72.0, 3, 192.0, 0),
        (0, 0, None, 0, 0.0, 0),
    ]


def test_ex2_progress_positions(ex2: dict[str, list[Row]]) -> None:
    """The furthest stage is a high-water mark; a reopened deal loses only the success stage."""
    reached: dict[int, int] = {}
    for row in ex2["deal_stage_progress"]:
        reached[row["deal_id"]] = reached.get(row["deal_id"], 0) + row["is_reached"]
    assert reached == {1: 5, 2: 5, 3: 2, 4: 3, 5: 4, 6: 4, 7: 3}
    assert [row["stage_id"] for row in ex2["deal_stage_progress"] if row["deal_id"] == 1] == list(PATH)


def test_ex3_flow(ex2: dict[str, list[Row]]) -> None:
    """Every stay is one entry and at most one exit."""
    totals = {}
    for stage in PATH[:4]:
        rows = [row for row in ex2["funnel_stage_flow"] if row["stage_id"] == stage]
        columns = ("entries", "exits", "exits_forward", "exits_back", "exits_lost")
        totals[stage] = tuple(sum(row[column] for row in rows) for column in columns)
    assert totals == {
        "NEW": (7, 7, 6, 0, 1),
        "PREPARATION": (5, 4, 3, 0, 1),
        "EXECUTING": (7, 6, 4, 2, 0),
        "FINAL_INVOICE": (3, 3, 2, 0, 1),
    }
    lost = picked(ex2["funnel_stage_flow"], ("amount_exits_lost", "stay_hours_sum"), date_day=date(2026, 3, 15))
    assert lost == [(Decimal("20000.00"), 48.0)]


def test_pipeline_change_deleted_stage_and_lagging_history() -> None:
    """A stage met only in history has no position, a change of pipeline is no loss, state beats late history."""
    records = history(1, [("NEW", moscow("02.03")), ("PREPARATION", moscow("03.03"))])
    records[1] |= {"STAGE_ID": "GONE"}
    records += history(2, [("EXECUTING", moscow("04.03"))], first_id=10)
    moved = {"CATEGORY_ID": 5, "STAGE_ID": "C5:NEW", "TYPE_ID": 5, "CREATED_TIME": utc(moscow("06.03"))}
    records += [records[-1] | {"ID": 11} | moved, records[-1] | {"ID": 12} | moved | {"TYPE_ID": 2}]
    other_path = [
        {"ID": "1", "ENTITY_ID": "DEAL_STAGE_5", "STATUS_ID": "C5:NEW", "SORT": "20", "SEMANTICS": ""},
        {"ID": "2", "ENTITY_ID": "DEAL_STAGE_5", "STATUS_ID": "C5:FIRST", "SORT": "10", "SEMANTICS": None},
        {"ID": "3", "ENTITY_ID": "DEAL_STAGE_5", "STATUS_ID": "C5:WON", "SORT": "5", "SEMANTICS": "S"},
    ]
    deals = [
        deal(1, 10, moscow("02.03"), STAGE_ID="EXECUTING"),
        deal(2, 20, moscow("04.03"), CATEGORY_ID="5") | {"STAGE_ID": "C5:NEW"},
        deal(3, 30, moscow("05.03"), CATEGORY_ID="9") | {"STAGE_ID": "C9:NEW"},
        deal(4, 40, moscow("05.03"), IS_RECURRING="Y"),
    ]
    truth = {"deals": deals, "deal_stage_history": records, "statuses": statuses() + other_path}
    marts = marts_of(truth, "10.04")
    columns = ("deal_id", "stage_id", "is_reached", "is_visited", "visits", "is_open_actual")
    assert picked(marts["deal_stage_progress"], columns) == [
        (1, "NEW", True, True, 1, False),
        (1, "PREPARATION", True, False, 0, False),
        (1, "EXECUTING", True, True, 0, True),
        (1, "FINAL_INVOICE", False, False, 0, False),
        (1, "WON", False, False, 0, False),
        (2, "C5:FIRST", True, False, 0, False),
        (2, "C5:NEW", True, True, 1, True),
        (2, "C5:WON", False, False, 0, False),
    ]
    columns = ("stage_id", "date_day", "entries", "exits_moved", "exits_other", "exit_conversion")
    assert sorted(picked(marts["funnel_stage_flow"], columns)) == [
        ("C5:NEW", date(2026, 3, 6), 1, 0, 0, None),
        ("EXECUTING", date(2026, 3, 4), 1, 0, 0, None),
        ("EXECUTING", date(2026, 3, 6), 0, 1, 0, None),
        ("GONE", date(2026, 3, 3), 1, 0, 0, None),
        ("NEW", date(2026, 3, 2), 1, 0, 0, None),
        ("NEW", date(2026, 3, 3), 0, 0, 1, None),
    ]


# --- EX-4: channels


EX4_TABLE = """
last_touch  cohort 3 yandex_direct  40000 2 1 2 2 2 200000 20000 20000 20000 4.0000  0.5000
last_touch  cohort 3 vk_ads         20000 2 1 0 0 0 0      10000 null  null  -1.0000 -1.0000
last_touch  cohort 3 vk_remarketing 5000  0 0 0 0 0 0      null  null  null  -1.0000 -1.0000
last_touch  cohort 3 unknown        0     1 1 1 0 0 0      null  null  null  null    null
last_touch  cohort 4 email          0     0 0 1 1 0 50000  null  null  null  null    null
first_touch cohort 3 yandex_direct  40000 2 1 1 1 1 120000 20000 40000 40000 2.0000  -0.1000
first_touch cohort 3 vk_ads         20000 2 1 1 1 1 80000  10000 20000 20000 3.0000  0.2000
first_touch cohort 3 vk_remarketing 5000  0 0 0 0 0 0      null  null  null  -1.0000 -1.0000
first_touch cohort 3 unknown        0     1 1 1 0 0 0      null  null  null  null    null
first_touch cohort 4 yandex_direct  0     0 0 1 1 0 50000  null  null  null  null    null
last_touch  event  3 yandex_direct  40000 2 1 2 1 1 120000 20000 20000 40000 2.0000  -0.1000
last_touch  event  4 yandex_direct  0     0 0 0 1 1 80000  null  null  null  null    null
"""
EX4_COLUMNS = (
    "spend", "leads", "leads_qualified", "deals", "deals_won", "new_clients", "revenue",
    "cpl", "cpa", "cac", "romi", "roi",
)  # fmt: skip


@pytest.fixture(scope="module")
def ex4() -> list[Row]:
    return marts_of(ex4_truth(), "30.04", ad_spend=EX4_SPEND)["channel_roi"]


def test_ex4_channel_rows(ex4: list[Row]) -> None:
    """Both models and bases place the same leads, deals and sales as printed."""
    found = {
        (row["attribution_model"], row["date_basis"], row["period_month"].month, row["channel_key"]): row for row in ex4
    }
    for model, basis, month, channel, *values in cells_of(EX4_TABLE):
        row = found[model, basis, int(month), channel]
        assert as_decimals(row[column] for column in EX4_COLUMNS) == values, (model, basis, month, channel)
    assert len([row for row in ex4 if row["date_basis"] == "cohort"]) == 10


def test_ex4_totals_and_shares(ex4: list[Row]) -> None:
    """No model or basis loses or doubles a deal, a lead or a rouble."""
    for model in ("first_touch", "last_touch"):
        for basis in ("cohort", "event"):
            rows = [row for row in ex4 if (row["attribution_model"], row["date_basis"]) == (model, basis)]
            columns = ("revenue", "deals_won", "spend", "leads", "deals", "deals_lost", "new_clients")
            assert [sum(row[column] for row in rows) for column in columns] == [250_000, 3, 65_000, 5, 4, 1, 2]
    march = {"attribution_model": "last_touch", "date_basis": "cohort", "period_month": MARCH}
    shares = picked(ex4, ("spend_share", "leads_share", "ctr", "cpc"), channel_key="yandex_direct", **march)
    assert shares == [(0.6154, 0.4, 0.008, Decimal("50.00"))]
    event = {"attribution_model": "last_touch", "date_basis": "event", "period_month": MARCH}
    assert dict(picked(ex4, ("channel_key", "zero_conversion_months"), **event)) == {
        "yandex_direct": 0,
        "vk_ads": 1,
        "vk_remarketing": 1,
        "unknown": 0,
    }


def test_touches_older_than_90_days_do_not_count() -> None:
    """The window is 90 times 24 hours, its far end included."""
    created = datetime(2026, 4, 5, 6, 0, tzinfo=UTC)
    for seconds, first in ((0, "telegram"), (1, "email")):
        earlier = (created - timedelta(days=90, seconds=seconds)).isoformat()
        truth = {
            "leads": [lead(1, earlier, "NEW", COMPANY_ID="5", UTM_SOURCE="tg")],
            "deals": [deal(1, 10, created.isoformat(), COMPANY_ID="5", SOURCE_ID="EMAIL")],
        }
        rows = marts_of(truth, "30.04")["channel_roi"]
        assert [row["channel_key"] for row in rows if row["deals"] and row["attribution_model"] == "first_touch"] == [
            first,
            first,
        ]


# --- EX-5, EX-17: managers, dynamics


EX5_TABLE = """
7 4 3 1 0.75 2 0.5 180000 40000 60000.00  13.33 10.0 1 1.0 0.5 0.9 1 -0.3333
8 2 1 1 0.5  2 1.0 180000 30000 180000.00 10.0  10.0 1 1.0 0.5 1.2 2 1.0
"""
EX5_COLUMNS = (
    "manager_key", "deals_created", "deals_won", "deals_lost", "win_rate", "cohort_won", "cohort_conversion",
    "revenue", "lost_amount", "avg_check", "cycle_days_avg", "cycle_days_median", "open_deals_eop", "load_index",
    "revenue_share", "plan_attainment", "rank_revenue", "avg_check_vs_department",
)  # fmt: skip


@pytest.mark.parametrize("with_history", [True, False])
def test_ex5_managers(with_history: bool) -> None:
    """A month of a department of two, with stage history and for deals that have none."""
    rows = ex5_marts(with_history=with_history)["manager_performance"]
    march = [as_decimals(row) for row in picked(rows, EX5_COLUMNS, period_month=MARCH)]
    assert march == cells_of(EX5_TABLE)
    april = picked(rows, ("deals_won", "revenue", "rank_deals_won"), period_month=APRIL, manager_key=8)
    assert april == [(1, Decimal("50000.00"), 1)]
    assert {row["load_status"] for row in rows if row["period_month"] == MARCH} == {"normal"}


def test_ex17_dynamics() -> None:
    """The same deals by day add up to the same month."""
    rows = [row for row in ex5_marts(with_history=True)["sales_dynamics"] if row["date_day"].month == 3]
    columns = ("deals_created", "deals_won", "deals_lost", "revenue", "lost_amount", "cycle_days_sum")
    assert [sum(row[column] for row in rows) for column in columns] == [6, 4, 2, 360_000, 70_000, 50]


def test_dynamics_end_with_the_running_month() -> None:
    """A deal closed by a CLOSEDATE of the next month is so far only a deal created."""
    lost = deal(1, 20, moscow("02.03"), STAGE_ID="LOSE", MOVED_TIME=None, CLOSEDATE=moscow("01.05"))
    rows = marts_of({"deals": [lost]}, "10.04")["sales_dynamics"]
    assert picked(rows, ("date_day", "deals_created", "deals_lost")) == [(date(2026, 3, 2), 1, 0)]


# --- EX-6: calls


EX6_CALLS = (("1", "200", 45), ("1", "200", 180), ("2", "200", 30), ("2", "304", 0),
             ("2", "304", 0), ("1", "486", 0), ("3", "200", 300), ("5", "200", 20))  # fmt: skip


def test_ex6_calls() -> None:
    """Redirected calls are incoming, information calls are none, zero-length ones are not short."""
    calls = [call(number, *values) for number, values in enumerate(EX6_CALLS, start=1)]
    [row] = marts_of({"calls": calls}, "10.04")["manager_performance"]
    columns = ("calls_total", "calls_out", "calls_in", "calls_connected", "calls_missed", "calls_short")
    assert [row[column] for column in columns] == [7, 3, 4, 4, 2, 2]
    assert (row["talk_hours"], row["avg_talk_seconds"]) == (0.15, 138.75)
    assert (row["missed_rate"], row["short_call_share"], row["calls_per_won"]) == (0.5, 0.5, None)


def test_legs_of_a_call_are_one_call() -> None:
    """A queue rings several people: the call belongs to the one who answered and began with the first ring."""
    legs = [
        call(1, "2", "304", 0, CALL_ID="q", PORTAL_USER_ID="8", CALL_START_DATE=moscow("28.02", "23:59")),
        call(2, "2", "200", 90, CALL_ID="q", PORTAL_USER_ID="7", CALL_START_DATE=moscow("01.03", "00:01")),
    ]
    rows = marts_of({"calls": legs}, "10.04")["manager_performance"]
    columns = ("period_month", "manager_key", "calls_in", "calls_missed")
    assert picked(rows, columns) == [(date(2026, 2, 1), 7, 1, 0)]


# --- first response


def test_first_response_rules() -> None:
    """A talk before the lead answers it at once; else the earliest outgoing call or finished letter after creation."""
    born, phoned, written = moscow("02.03", "10:05"), moscow("03.03", "10:00"), moscow("04.03", "10:00")
    truth = {
        "leads": [
            lead(1, born, "NEW"),
            lead(2, phoned, "NEW", PHONE=[{"VALUE": "+7 (900) 000-00-01"}]),
            lead(3, written, "CONVERTED"),
            lead(4, written, "NEW"),
        ],
        "deals": [deal(5, 10, written, LEAD_ID="3")],
        "calls": [
            call(1, "2", "200", 10, CRM_ENTITY_TYPE="LEAD", CRM_ENTITY_ID="1"),
            call(2, "1", "304", 0, PHONE_NUMBER="89000000001", CALL_START_DATE=moscow("03.03", "10:30")),
        ],
        "activities": [
            activity(1, "4", "2", moscow("04.03", "11:00"), OWNER_ID="5", COMPLETED="N"),
            activity(2, "4", "2", moscow("04.03", "12:00"), OWNER_ID="5"),
            activity(3, "4", "1", moscow("04.03", "10:10"), OWNER_TYPE_ID="1", OWNER_ID="4"),
        ],
    }
    [row] = picked(
        marts_of(truth, "10.04")["manager_performance"],
        ("requests", "requests_answered", "first_response_minutes_sum", "first_response_minutes_median"),
        period_month=MARCH,
    )
    assert row == (4, 3, 150.0, 30.0)


# --- EX-7, EX-27: clients


EX7_VALUES = {"A1": 500, "A2": 250, "B1": 100, "B2": 50, "B3": 50, "C1": 40, "C2": 10, "N1": -20}
EX7_TABLE = """
A1 1    0.1429 0.5    0    A A
A2 2    0.2857 0.75   500  A A
B1 3    0.4286 0.85   750  A B
B2 4    0.5714 0.9    850  B B
B3 4    0.7143 0.95   850  B C
C1 6    0.8571 0.99   950  C C
C2 7    1.0    1.0    990  C C
N1 null null   null   null N null
"""


def test_ex7_classes() -> None:
    """A client is in A while the bigger ones do not make 80 %; equal clients share a class, a loss has none."""
    names = list(EX7_VALUES)
    deals = [sale(n, EX7_VALUES[name], "10.02", CONTACT_ID=str(n)) for n, name in enumerate(names, start=1)]
    rows = marts_of({"deals": deals}, "10.04")["client_abc"]
    columns = ("client_key", "client_rank", "cum_client_share", "cum_share", "greater_sum", "abc_class")
    february = picked(rows, (*columns, "abc_class_by_count"), as_of_month=date(2026, 2, 1))
    found = [as_decimals([names[int(key.removeprefix("P")) - 1], *values]) for key, *values in february]
    assert sorted(found) == cells_of(EX7_TABLE)


def test_ex27_regularity() -> None:
    """Empty months count from the first sale on; fewer than three months say nothing."""
    values = {1: (90, 110, 100, 100), 2: (300, 0, 0, 300), 3: (0, 0, 100, 100)}
    deals = [
        sale(10 * client + month, amount, f"15.0{month}", COMPANY_ID=str(client))
        for client, amounts in values.items()
        for month, amount in enumerate(amounts, start=1)
        if amount
    ]
    rows = marts_of({"deals": deals}, "10.05")["client_abc"]
    april = picked(rows, ("client_key", "month_cv", "xyz_class"), as_of_month=APRIL)
    assert april == [("C1", 0.0707, "X"), ("C2", 1.0, "Z"), ("C3", None, None)]
    running = picked(rows, ("client_key", "recency_days", "rfm", "prev_abc_class"), as_of_month=date(2026, 5, 1))
    assert running == [("C1", 25, "153", None), ("C2", 25, "115", None), ("C3", 25, "111", None)]


def test_the_regularity_of_a_loss_has_the_sign_of_its_mean() -> None:
    """Deviation over mean as the rule says: a client who got more back than he paid falls below every border."""
    deals = [sale(month, amount, f"15.0{month}", COMPANY_ID="1") for month, amount in ((1, -300), (2, 100), (4, -100))]
    rows = marts_of({"deals": deals}, "10.05")["client_abc"]
    # mean -75, squared deviations 50 625 + 30 625 + 5 625 + 625 over four months
    assert picked(rows, ("month_cv", "xyz_class", "abc_class"), as_of_month=APRIL) == [(-1.972, "X", "N")]


def test_service_of_a_client() -> None:
    """The card of a call is the call itself; elapsed time comes through the tasks of the client's deals."""
    worked = {"CREATED_DATE": moscow("04.03"), "DATE_START": moscow("04.03")}
    truth = {
        "deals": [sale(1, 100, "05.03", COMPANY_ID="5")],
        "calls": [call(1, "2", "200", 1800, CRM_ENTITY_TYPE="COMPANY", CRM_ENTITY_ID="5", CRM_ACTIVITY_ID="1")],
        "activities": [
            activity(1, "2", "1", moscow("02.03"), OWNER_ID="1"),
            activity(2, "1", "0", moscow("03.03"), OWNER_ID="1"),
        ],
        "tasks": [task(8, ufCrmTask=["C_2", "D_1"]), task(9, ufCrmTask=False)],
        "time_entries": [
            {"ID": "1", "TASK_ID": "8", "SECONDS": "5400", **worked},
            {"ID": "2", "TASK_ID": "9", "SECONDS": "60", **worked},
        ],
    }
    rows = marts_of(truth, "10.04")["client_abc"]
    assert picked(rows, ("touches_count", "service_hours"), as_of_month=MARCH) == [(2, 2.0)]


def test_tasks_of_a_manager() -> None:
    """A deadline met to the second is met; a deferred task is nobody's load; closed ones were open before."""
    truth = {
        "tasks": [
            task(1),
            task(2, closedDate=moscow("09.04"), deadline=moscow("20.03")),
            task(3, status="6", closedDate=None, deadline=None),
            task(4, status="3", closedDate=None, deadline=moscow("12.04")),
        ]
    }
    rows = marts_of(truth, "10.04")["manager_performance"]
    columns = ("tasks_closed", "tasks_on_time", "tasks_on_time_rate", "tasks_overdue", "open_tasks_eop", "load_points")
    assert picked(rows, columns) == [(1, 1, 1.0, 1, 2, 1.0), (1, 0, 0.0, 0, 1, 0.5)]


# --- money


def test_money_is_rounded_half_away_from_zero_and_impossible_amounts_are_unknown() -> None:
    """A phone number typed into the amount must not reach the revenue; a rate is rounded to six digits first."""
    deals = [
        deal(1, 1234.50, moscow("02.03"), CURRENCY_ID="KZT"),
        deal(2, 0, moscow("02.03")) | {"OPPORTUNITY": "89161234567891234567.00"},
        deal(3, 10, moscow("02.03"), CURRENCY_ID="RUR"),
        deal(4, 10, moscow("02.03"), CURRENCY_ID="XXX"),
        deal(5, -0.075, moscow("02.03"), CURRENCY_ID="RUB") | {"OPPORTUNITY": "-0.075"},
    ]
    marts = marts_of({"deals": deals}, "10.04")
    amounts = picked(marts["deal_stage_progress"], ("deal_id", "amount_rc"), stage_position=1)
    assert amounts == [
        (1, Decimal("216.53")),
        (2, None),
        (3, Decimal("10.00")),
        (4, None),
        (5, Decimal("-0.08")),
    ]
    assert sum(row["amount_created"] for row in marts["sales_dynamics"]) == Decimal("226.45")


def test_rates_are_those_known_on_the_day_of_the_sale() -> None:
    """A sale keeps the rate of its day, an open deal has today's, one before the first known day the earliest."""

    def seen(rate: str) -> list[Row]:
        return [*currencies()[:1], {"CURRENCY": "USD", "AMOUNT_CNT": "1", "AMOUNT": rate, "BASE": "N"}]

    dollars = {"CURRENCY_ID": "USD"}
    deals = [sale(1, 1, "28.02", **dollars), sale(2, 1, "09.03", **dollars), deal(3, 1, moscow("02.03"), **dollars)]
    marts = calculate(
        {"deals": deals, "statuses": statuses(), "currencies": currencies()},
        ad_spend=[],
        sales_plan=[],
        as_of=datetime.fromisoformat(moscow("10.04")),
        rate_history=[
            (datetime.fromisoformat(moscow("01.03")), seen("70.0000")),
            (datetime.fromisoformat(moscow("10.03")), seen("80.5000")),
        ],
    )
    amounts = picked(marts["deal_stage_progress"], ("deal_id", "amount_rc"), stage_position=1)
    assert amounts == [(1, Decimal("70.00")), (2, Decimal("70.00")), (3, Decimal("80.50"))]


def test_rates_written_by_hand_win_on_their_day() -> None:
    """They hold until the next known rate, and make a currency known that the portal does not have."""
    by_hand = [
        {"rate_date": "2026-03-01", "currency": "KZT", "rate": "0.2"},
        {"rate_date": "2026-03-01", "currency": "USD", "rate": "80"},
    ]
    deals = [sale(1, 100, "02.03", CURRENCY_ID="KZT"), deal(2, 100, moscow("02.03"), CURRENCY_ID="KZT")]
    deals.append(sale(3, 1, "28.02", CURRENCY_ID="USD"))
    marts = marts_of({"deals": deals}, "10.04", fx_rates_manual=by_hand)
    amounts = picked(marts["deal_stage_progress"], ("deal_id", "amount_rc"), stage_position=1)
    assert amounts == [(1, Decimal("20.00")), (2, Decimal("17.54")), (3, Decimal("80.00"))]


def test_own_channels_and_merged_clients() -> None:
    """A rule of the company replaces the one of the same number; a chain of merges ends at its last client."""
    rules = [
        {"priority": "140", "match_field": "source_id", "pattern": "web", "channel_key": "main_site"},
        {"priority": "35", "match_field": "utm_source", "pattern": "vk-market", "channel_key": "market"},
    ]
    merges = [{"old_key": "P5", "new_key": "C6"}, {"old_key": "C6", "new_key": "C7"}]
    deals = [
        deal(1, 10, moscow("02.03"), SOURCE_ID="WEB", CONTACT_ID="5"),
        deal(2, 10, moscow("02.03"), UTM_SOURCE="VK-Market", COMPANY_ID="6"),
        deal(3, 10, moscow("02.03"), UTM_SOURCE="vk", COMPANY_ID="8"),
    ]
    rows = marts_of({"deals": deals}, "10.04", channel_map=rules, client_merge_map=merges)["deal_journey"]
    assert picked(rows, ("client_key", "touch_path")) == [
        ("C7", "main_site"),
        ("C7", "main_site > market"),
        ("C8", "vk_ads"),
    ]


def test_a_plan_alone_makes_a_row_but_not_in_the_future() -> None:
    """A manager who sold nothing still has his plan to be measured by."""
    plans = [
        {"period_month": month, "scope": "manager", "scope_key": "9", "metric": "deals_won", "plan_value": "4"}
        for month in ("2026-04-01", "2026-05-01")
    ]
    rows = marts_of({}, "10.04", sales_plan=plans)["manager_performance"]
    columns = ("period_month", "manager_key", "plan_deals_won", "plan_revenue", "plan_attainment", "load_status")
    assert picked(rows, columns) == [(APRIL, 9, 4, None, None, None)]


# --- comparing


def test_compare_names_every_kind_of_difference() -> None:
    """A comparison that overlooks a missing row or a wrong cell would pass any mart."""
    key = PRIMARY_KEYS["manager_performance"]
    expected = [
        {"period_month": MARCH, "manager_key": 7, "revenue": Decimal("10.00"), "win_rate": 0.5, "talk_hours": 1.0},
        {"period_month": APRIL, "manager_key": 7, "revenue": Decimal("10.00"), "win_rate": None, "talk_hours": 1.0},
    ]
    near = [dict(row) for row in expected]
    near[0] |= {"win_rate": 0.5001, "talk_hours": 1.01, "manager_name": "label"}
    assert compare("manager_performance", key, expected, near) == []

    far = [expected[0] | {"revenue": Decimal("10.01"), "win_rate": 0.5002, "talk_hours": 1.02}]
    far.append(expected[0] | {"period_month": date(2026, 5, 1)})
    assert len(compare("manager_performance", key, expected, far)) == 5
    assert compare("manager_performance", key, expected, [expected[0], *expected]) != []
    assert compare("manager_performance", key, expected[1:], [expected[1] | {"win_rate": 0.0}]) != []
