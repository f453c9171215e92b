"""The reference calculator's marts of work, invoices and processes against the worked examples, typed in by hand."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pipeline.calculator import calculate
from pipeline.calculator.alerts import funnel_alerts, read_thresholds
from pipeline.calculator.values import Clock

Row = dict[str, Any]

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
STAGES = ("N", None), ("S", ""), ("P", "S"), ("D", "F")


def moscow(day: str, time: str = "09:00") -> str:
    """`02.03` is a day of 2026."""
    day_number, month = day.split(".")
    return f"2026-{month}-{day_number}T{time}:00+03:00"


def marts_of(truth: dict[str, list[Row]], as_of: str = "10.04") -> dict[str, list[Row]]:
    statuses = [
        {"ID": str(number), "ENTITY_ID": entity, "STATUS_ID": f"{prefix}:{code}", "SORT": "10", "SEMANTICS": semantics}
        for entity, prefix in (("SMART_INVOICE_STAGE_11", "DT31_11"), ("DYNAMIC_128_STAGE_13", "DT128_13"))
        for number, (code, semantics) in enumerate(STAGES)
    ]
    currencies = [{"CURRENCY": "RUB", "AMOUNT_CNT": "1", "AMOUNT": "1.0000", "BASE": "Y"}]
    portal = {"statuses": statuses, "currencies": currencies, **truth}
    return calculate(portal, ad_spend=[], sales_plan=[], as_of=datetime.fromisoformat(moscow(as_of, "12:00")))


def picked(rows: Iterable[Row], columns: Sequence[str], **where: Any) -> list[tuple[Any, ...]]:
    chosen = (row for row in rows if all(row[column] == value for column, value in where.items()))
    return [tuple(row[column] for column in columns) for row in chosen]


def call(number: int, kind: int, code: int, seconds: int, start: str = moscow("02.03"), **fields: Any) -> Row:
    return {
        "ID": str(number),
        "CALL_ID": f"call {number}",
        "PORTAL_USER_ID": "7",
        "PORTAL_NUMBER": "74951234501",
        "PHONE_NUMBER": "+7 900 000-00-01",
        "CALL_TYPE": str(kind),
        "CALL_FAILED_CODE": str(code),
        "CALL_DURATION": str(seconds),
        "CALL_START_DATE": start,
        "COST": "0.0000",
        "COST_CURRENCY": "",
        **fields,
    }


CALLS = [(1, 200, 45), (1, 200, 180), (2, 200, 30), (2, 304, 0), (2, 304, 0), (1, 486, 0), (3, 200, 300), (5, 200, 20)]


# --- EX-6: calls


def test_ex6_calls_by_direction() -> None:
    """An information call that counts, or a busy line taken for a missed call, shows here."""
    rows = marts_of({"calls": [call(number, *given) for number, given in enumerate(CALLS, 1)]})["call_analytics"]
    columns = ("hour", "calls", "calls_connected", "calls_missed", "calls_short", "talk_seconds", "unique_numbers")
    assert picked(rows, columns, direction="out") == [(9, 3, 2, 0, 1, 225, 1)]
    assert picked(rows, columns, direction="in") == [(9, 4, 2, 2, 1, 330, 1)]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("kind", "code", "start", "phone", "unreturned"),
    [
        (1, 200, moscow("03.03"), "8 (900) 000-00-01", 0),  # the last moment, written otherwise
        (2, 200, moscow("02.03", "20:00"), "79000000001", 0),  # the client tried again himself
        (1, 200, moscow("03.03", "09:01"), "79000000001", 1),
        (1, 200, moscow("02.03", "08:59"), "79000000001", 1),
        (1, 304, moscow("02.03", "10:00"), "79000000001", 1),  # nobody answered
        (1, 200, moscow("02.03", "10:00"), "79000000002", 1),
        (5, 200, moscow("02.03", "10:00"), "79000000001", 1),  # a robot is no conversation
    ],
)
def test_a_missed_call_is_returned_by_a_talk_within_a_day(
    kind: int, code: int, start: str, phone: str, unreturned: int
) -> None:
    """Only a conversation with the same number, after the missed call and within 24 hours."""
    calls = [call(1, 2, 304, 0), call(2, kind, code, 60, start, PHONE_NUMBER=phone)]
    rows = marts_of({"calls": calls})["call_analytics"]
    assert sum(row["missed_unreturned"] for row in rows) == unreturned


def test_calls_without_a_number_and_their_cost() -> None:
    """Hidden numbers are no number: they are neither counted nor called back. A cost without currency is in ours."""
    hidden = {"PHONE_NUMBER": "", "COST": "1.2250"}
    calls = [
        call(1, 2, 304, 0, **hidden),
        call(2, 2, 200, 5, **hidden),
        call(3, 2, 200, 5, COST="1", COST_CURRENCY="RUR"),
    ]
    rows = marts_of({"calls": calls})["call_analytics"]
    assert picked(rows, ("calls", "unique_numbers", "missed_unreturned", "cost")) == [(3, 1, 1, Decimal("3.46"))]


# --- EX-14: tasks


def task(number: int, deadline: str | None, closed: str | None, **fields: Any) -> Row:
    return {
        "id": str(number),
        "responsibleId": "7",
        "groupId": "12",
        "status": "5" if closed else "3",
        "createdDate": moscow("01.04"),
        "deadline": deadline and moscow(deadline),
        "closedDate": closed and moscow(closed),
        "timeEstimate": "0",
        "timeSpentInLogs": None,
        "mark": None,
        "ufCrmTask": False,
        **fields,
    }


EX14_TASKS = [
    task(1, "05.04", "04.04", timeEstimate="36000", timeSpentInLogs="43200", mark="P"),
    task(2, "05.04", "06.04", mark="N"),
    task(3, None, "03.04", mark="P"),
    task(4, "08.04", None),
    task(5, "20.04", None),
]


def test_ex14_tasks_of_a_project() -> None:
    """A task without a deadline is neither late nor on time; an open one may be late already."""
    [row] = marts_of({"tasks": EX14_TASKS})["task_efficiency"]
    expected = {
        "period_month": APRIL,
        "manager_key": 7,
        "project_key": 12,
        "tasks_created": 5,
        "tasks_closed": 3,
        "tasks_on_time": 1,
        "tasks_with_deadline_closed": 2,
        "on_time_rate": 0.5,
        "tasks_overdue": 2,
        "tasks_overdue_open": 1,
        "close_hours_sum": 240.0,  # three, five and two days
        "close_hours_median": 72.0,
        "estimate_hours": 10.0,
        "spent_hours": 12.0,
        "marks_positive": 2,
        "marks_negative": 1,
        "positive_mark_rate": 0.6667,
    }
    assert {name: row[name] for name in expected} == expected


def test_a_return_is_a_move_from_done_or_control_back_to_work() -> None:
    """Pausing work, accepting it, or changing a mark returns nothing."""
    moves = [("3", "4"), ("4", "3"), ("3", "2"), ("3", "5"), ("5", "2"), ("2", "5"), ("5", "6")]
    history = [
        {"id": number, "taskId": 1, "field": "STATUS", "value": {"from": before, "to": after}}
        for number, (before, after) in enumerate(moves, 1)
    ]
    history.append({"id": 90, "taskId": 1, "field": "PRIORITY", "value": {"from": "5", "to": "2"}})
    [row] = marts_of({"tasks": [task(1, None, "04.04")], "task_history": history})["task_efficiency"]
    assert row["task_returns"] == 2


# --- EX-16: alerts


def flow(day: date, forward: int, stopped: int, **fields: Any) -> Row:
    return {
        "pipeline_key": 0,
        "stage_id": "NEW",
        "date_day": day,
        "exits": forward + stopped,
        "exits_forward": forward,
        "exits_moved": 0,
        "exits_other": 0,
        **fields,
    }


def alerts_of(rows: Sequence[Row], least: str = "", roi: Sequence[Row] = ()) -> list[Row]:
    """Alerts checked on 10 April: the last fortnight begins on 27 March, its base on 2 January."""
    thresholds = read_thresholds([{"pipeline_key": "0", "stage_id": "NEW", "min_conversion": least}])
    clock = Clock(datetime.fromisoformat(moscow("11.04")), ZoneInfo("Europe/Moscow"))
    return funnel_alerts(rows, roi, thresholds, clock)


LAST, FIRST, BASE_LAST, BASE_FIRST = date(2026, 4, 10), date(2026, 3, 28), date(2026, 3, 27), date(2026, 1, 3)
BASE = [flow(BASE_FIRST, 30, 20), flow(BASE_LAST, 30, 20)]


def test_ex16_a_fall_by_half_is_critical() -> None:
    """The edges of both windows count, the days beside them do not."""
    outside = [flow(LAST + timedelta(days=1), 500, 0), flow(BASE_FIRST - timedelta(days=1), 0, 500)]
    moved = flow(LAST, 0, 7, exits_moved=3, exits_other=4)
    [alert] = alerts_of([*BASE, *outside, moved, flow(FIRST, 10, 15), flow(LAST, 5, 20)])
    assert alert == {
        "date_day": LAST,
        "pipeline_key": 0,
        "stage_id": "NEW",
        "alert_type": "drop_vs_base",
        "n1": 50,
        "n0": 100,
        "c1": 0.3,
        "c0": 0.6,
        "relative_change": -0.5,
        "z_score": -3.4641,
        "threshold": None,
        "severity": "critical",
    }


@pytest.mark.parametrize(
    ("recent", "base", "fires"),
    [
        ((3, 7), (60, 40), False),  # EX-16: ten exits prove nothing
        ((15, 35), (12, 7), False),  # nor do nineteen before
        ((0, 50), (0, 100), False),
        ((850, 150), (1000, 0), True),  # a fall by 0.15 is enough
        ((851, 149), (1000, 0), False),
        ((24, 26), (60, 40), False),  # by 0.20, but too few for certainty
    ],
)
def test_a_fall_must_be_large_and_certain(recent: tuple[int, int], base: tuple[int, int], fires: bool) -> None:
    """Size, certainty and the least number of exits, each alone at its border."""
    alerts = alerts_of([flow(BASE_LAST, *base), flow(LAST, *recent)])
    assert [alert["alert_type"] for alert in alerts] == ["drop_vs_base"] * fires


@pytest.mark.parametrize(("least", "exits", "fires"), [("0.31", 50, True), ("0.30", 50, False), ("0.31", 10, False)])
def test_a_conversion_below_its_threshold(least: str, exits: int, fires: bool) -> None:
    """It needs no base, but exits enough, and equality is no breach."""
    alerts = alerts_of([flow(LAST, exits * 3 // 10, exits * 7 // 10)], least)
    wanted = [("below_threshold", 0.3, float(least), "warning")] * fires
    assert picked(alerts, ("alert_type", "c1", "threshold", "severity")) == wanted


# --- EX-28: processes


def item(number: int, created: str, stage: str, *, due: str | None = None) -> Row:
    return {
        "entityTypeId": 128,
        "id": number,
        "createdTime": moscow(created),
        "movedTime": moscow(created),
        "categoryId": 13,
        "stageId": f"DT128_13:{stage}",
        "closedate": due and moscow(due, "03:00"),
        "assignedById": 7,
    }


def moves(owner: int, *steps: tuple[str, str], type_id: int = 128, category: int = 13) -> list[Row]:
    semantics = {code: kind or "P" for code, kind in STAGES}
    return [
        {
            "entityTypeId": type_id,
            "ID": owner * 10 + number,
            "TYPE_ID": 2 if number else 1,
            "OWNER_ID": owner,
            "CREATED_TIME": moscow(day),
            "CATEGORY_ID": category,
            "STAGE_SEMANTIC_ID": semantics[stage],
            "STAGE_ID": f"DT{type_id}_{category}:{stage}",
        }
        for number, (stage, day) in enumerate(steps)
    ]


EX28_ITEMS = [
    item(1, "01.04", "P"),
    item(2, "01.04", "D"),
    item(3, "02.04", "N", due="05.04"),
    item(4, "03.04", "P"),
    item(5, "04.04", "N", due="20.04"),
]
EX28_HISTORY = [
    *moves(1, ("N", "01.04"), ("P", "03.04")),
    *moves(2, ("N", "01.04"), ("D", "02.04")),
    *moves(3, ("N", "02.04")),
    *moves(4, ("N", "03.04"), ("P", "07.04")),
    *moves(5, ("N", "04.04")),
]


def test_ex28_items_of_a_process() -> None:
    """The cycle of failures is no cycle, and only what is open can be late."""
    rows = marts_of({"process_items": EX28_ITEMS, "process_stage_history": EX28_HISTORY})["process_efficiency"]
    assert {(row["entity_type_id"], row["pipeline_key"], row["period_month"]) for row in rows} == {(128, 13, APRIL)}
    columns = ("items_created", "items_done", "items_failed", "items_open", "items_overdue", "cycle_hours_sum")
    assert [sum(row[name] for row in rows) for name in columns] == [5, 2, 1, 2, 1, 144]
    assert picked(rows, ("cycle_hours_median",), stage_id="DT128_13:P") == [(72.0,)]
    passing = ("stage_entries", "stage_exits", "stay_hours_sum", "stay_hours_median")
    assert picked(rows, passing, stage_id="DT128_13:N") == [(5, 3, 168.0, 48.0)]
    assert picked(rows, passing, stage_id="DT128_13:D") == [(1, 0, 0.0, None)]


def test_an_item_stays_open_at_the_end_of_each_month() -> None:
    """A point is told for every month that it spans, late ones only once the date is behind."""
    truth = {
        "process_items": [item(1, "02.03", "P", due="31.03"), {**item(2, "20.03", "N", due="10.04"), "stageId": None}],
        "process_stage_history": moves(1, ("N", "02.03"), ("P", "01.04")),
    }
    rows = marts_of(truth)["process_efficiency"]
    columns = ("period_month", "items_open", "items_overdue")
    assert picked(rows, columns, stage_id="DT128_13:N") == [(MARCH, 1, 1), (APRIL, 0, 0)]
    assert picked(rows, columns, stage_id="") == [(MARCH, 1, 0), (APRIL, 1, 0)]


# --- EX-29: hours


def meeting(start: datetime, seconds: int, **fields: Any) -> Row:
    begins = int(start.timestamp())
    return {
        "ID": "1",
        "OWNER_ID": "7",
        "CAL_TYPE": "user",
        "DELETED": "N",
        "DATE_FROM_TS_UTC": str(begins),
        "DATE_TO_TS_UTC": str(begins + seconds),
        "DT_SKIP_TIME": "N",
        "IS_MEETING": True,
        "UF_CRM_CAL_EVENT": False,
        **fields,
    }


def crm_meeting(number: int, start: str, end: str, **fields: Any) -> Row:
    return {
        "ID": str(number),
        "TYPE_ID": "1",
        "COMPLETED": "N",
        "RESPONSIBLE_ID": "7",
        "OWNER_TYPE_ID": "2",
        "OWNER_ID": "37",
        "START_TIME": start,
        "END_TIME": end,
        "BINDINGS": [],
        **fields,
    }


TEN = datetime.fromisoformat(moscow("02.03", "10:00"))
HOURS = ("work_type", "hours", "events", "workday_share")


def test_ex29_hours_of_a_day() -> None:
    """Hours of talks, meetings, tasks, and of the working day that the shares are of."""
    truth = {
        "calls": [call(number, *given) for number, given in enumerate(CALLS, 1)],
        "calendar_events": [meeting(TEN, 5400)],
        "time_entries": [
            {"ID": "1", "TASK_ID": "1", "USER_ID": "7", "SECONDS": "7200", "CREATED_DATE": moscow("02.03")}
        ],
        "work_time_records": [{"id": 1, "userId": 7, "startTime": moscow("02.03"), "duration": 28800}],
    }
    rows = marts_of(truth)["time_allocation"]
    assert sorted(picked(rows, HOURS, date_day=date(2026, 3, 2), manager_key=7)) == [
        ("call", 0.15, 4, 0.0193),
        ("meeting", 1.5, 1, 0.1875),
        ("task", 2.0, 1, 0.25),
        ("workday", 8.0, 1, None),
    ]


def test_a_meeting_in_calendar_and_crm_counts_once_for_each_who_took_part() -> None:
    """The CRM's copy of a meeting would double it; days, private time and the future are no meetings held."""
    truth = {
        "calendar_events": [
            meeting(TEN, 1800, UF_CRM_CAL_EVENT=["D_37"]),
            meeting(TEN, 1800, OWNER_ID="8", UF_CRM_CAL_EVENT=["D_37"]),
            meeting(TEN, 0, DT_SKIP_TIME="Y"),
            meeting(TEN, 3600, IS_MEETING=False),
            meeting(TEN, 3600, CAL_TYPE="company_calendar", OWNER_ID="0"),
            meeting(datetime.fromisoformat(moscow("11.04")), 3600),
        ],
        "activities": [
            crm_meeting(1, moscow("02.03", "10:00"), moscow("02.03", "10:30")),
            crm_meeting(2, moscow("02.03", "12:00"), moscow("02.03", "13:00")),
            crm_meeting(3, moscow("02.03", "10:00"), moscow("02.03", "10:15"), OWNER_ID="38", RESPONSIBLE_ID="9"),
        ],
    }
    rows = marts_of(truth)["time_allocation"]
    assert sorted(picked(rows, ("manager_key", "hours", "events"))) == [(7, 1.5, 2), (8, 0.5, 1), (9, 0.25, 1)]


# --- EX-30: invoices


def invoice(number: int, amount: float, created: str, stage: str, due: str = "30.04") -> Row:
    return {
        "id": number,
        "createdTime": moscow(created),
        "movedTime": moscow(created),
        "categoryId": 11,
        "stageId": f"DT31_11:{stage}",
        "closedate": moscow(due, "03:00"),
        "assignedById": 7,
        "currencyId": "RUB",
        "opportunity": amount,
    }


def test_ex30_invoices_by_month() -> None:
    """An invoice is told of in the month it was written, paid, and due, each apart."""
    truth = {
        "smart_invoices": [
            invoice(1, 100, "02.03", "P"),
            invoice(2, 200, "03.03", "P"),
            invoice(3, 50, "04.03", "S", due="20.03"),
        ],
        "smart_invoice_stage_history": [
            *moves(1, ("N", "02.03"), ("P", "10.03"), type_id=31, category=11),
            *moves(2, ("N", "03.03"), ("P", "02.04"), type_id=31, category=11),
        ],
    }
    rows = marts_of(truth)["invoice_summary"]
    counts = ("period_month", "invoices_created", "invoices_amount", "invoices_paid", "paid_amount", "invoices_overdue")
    assert picked(rows, counts, pipeline_key=11, manager_key=7) == [
        (MARCH, 3, Decimal("350.00"), 1, Decimal("100.00"), 1),
        (APRIL, 0, Decimal("0.00"), 1, Decimal("200.00"), 0),
    ]


def test_an_invoice_due_today_is_not_late() -> None:
    """Nor is one that nobody will pay any more."""
    invoices = [invoice(1, 1, "02.03", "N", due="10.04"), invoice(2, 1, "02.03", "D", due="05.03")]
    assert sum(row["invoices_overdue"] for row in marts_of({"smart_invoices": invoices})["invoice_summary"]) == 0
