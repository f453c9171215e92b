"""The reference calculator's marts of projects, support and mailings against the worked examples, typed in by hand."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pipeline.calculator import calculate

Row = dict[str, Any]

STAGES = ("N", None), ("S", "S"), ("D", "F")
SUPPORT = [{"source_type": "process", "entity_type_id": "128", "pipeline_key": "", "topic_field": ""}]
ANSWER = {"ticket_id": "", "deal_id": "", "client_key": "", "manager_key": "7"}


def moscow(day: str, time: str = "09:00") -> str:
    """`02.03` is a day of 2026."""
    day_number, month = day.split(".")
    return f"2026-{month}-{day_number}T{time}:00+03:00"


def marts_of(truth: dict[str, list[Row]], **files: Any) -> dict[str, list[Row]]:
    statuses = [
        {
            "ID": str(n),
            "ENTITY_ID": "DYNAMIC_128_STAGE_13",
            "STATUS_ID": f"DT128_13:{code}",
            "SORT": "10",
            "SEMANTICS": s,
        }
        for n, (code, s) in enumerate(STAGES)
    ]
    currencies = [{"CURRENCY": "RUB", "AMOUNT_CNT": "1", "AMOUNT": "1.0000", "BASE": "Y"}]
    portal = {"statuses": statuses, "currencies": currencies, **truth}
    as_of = datetime.fromisoformat(moscow("10.04", "12:00"))
    return calculate(portal, **{"ad_spend": [], "sales_plan": [], "as_of": as_of, **files})


def task(number: int, deadline: str | None, closed: str | None, estimate: int = 0, spent: int = 0) -> Row:
    return {
        "id": str(number),
        "responsibleId": "7",
        "status": "5" if closed else "3",
        "createdDate": moscow("01.04"),
        "closedDate": moscow(closed) if closed else None,
        "deadline": moscow(deadline) if deadline else None,
        "groupId": "3",
        "timeEstimate": str(estimate * 3600),
        "timeSpentInLogs": str(spent * 3600),
    }


EX_14 = [
    task(1, "05.04", "04.04", 10, 12),
    task(2, "05.04", "06.04"),
    task(3, None, "03.04"),
    task(4, "08.04", None),
    task(5, "20.04", None),
]
GROUP = {"id": "3", "name": "Сайт", "projectDateFinish": "2026-04-05T03:00:00+03:00"}
BUDGET = [
    {"project_id": "3", "period_month": "2026-03-01", "budget_plan": "60", "budget_fact": "70", "currency": ""},
    {"project_id": "3", "period_month": "2026-04-01", "budget_plan": "40", "budget_fact": "45", "currency": ""},
]


def test_ex14_a_project() -> None:
    (row,) = marts_of({"tasks": EX_14, "workgroups": [GROUP]}, project_budget=BUDGET)["project_performance"]
    assert (row["tasks_total"], row["tasks_done"], row["on_time_rate"]) == (5, 3, 0.5)
    assert (row["tasks_overdue"], row["overdue_open"], row["progress"]) == (2, 1, 0.6)
    assert (row["budget_plan"], row["budget_fact"], row["budget_deviation"]) == (Decimal(100), Decimal(115), 0.15)
    assert (row["estimate_hours"], row["spent_hours"], row["effort_deviation"]) == (10.0, 12.0, 0.2)
    assert (row["date_finish_plan"], row["date_finish_fact"], row["delay_days"]) == (date(2026, 4, 5), None, None)


def test_a_finished_project_is_late_by_its_last_task_and_counts_returns() -> None:
    """Work beside the estimate moves no deviation; a task is sent back twice, so one of three."""
    back = [
        {
            "id": str(n),
            "taskId": "2",
            "field": "STATUS",
            "value": {"from": "5", "to": "3"},
            "createdDate": moscow("05.04"),
        }
        for n in (1, 2)
    ]
    tasks = [*EX_14[:2], {**EX_14[2], "timeSpentInLogs": "36000"}]
    rows = marts_of({"tasks": tasks, "workgroups": [GROUP], "task_history": back})["project_performance"]
    (row,) = rows
    assert (row["date_finish_fact"], row["delay_days"], row["spent_hours"]) == (date(2026, 4, 6), 1, 22.0)
    assert (row["effort_deviation"], row["task_returns"], row["return_rate"]) == (0.2, 2, 0.3333)
    assert row["budget_plan"] is row["budget_fact"] is row["budget_deviation"] is None


def test_ex15_surveys() -> None:
    scores = [("nps", score) for score in (10, 9, 8, 7, 6, 3, 10, 0)] + [("csat", score) for score in (5, 4, 3, 5, 2)]
    answers = [
        {**ANSWER, "answered_at": moscow("02.04"), "survey": survey, "score": str(score)} for survey, score in scores
    ]
    (row,) = marts_of({}, survey_answers=answers)["service_quality"]
    assert (row["source_type"], row["manager_key"], row["period_month"]) == ("unknown", 7, date(2026, 4, 1))
    assert (row["nps_answers"], row["promoters"], row["detractors"], row["nps"]) == (8, 3, 3, 0.0)
    assert (row["csat_answers"], row["csat_positive"], row["csat"]) == (5, 3, 0.6)


def ticket(
    number: int, created: str, solved: str | None, contact: int = 1, *more: tuple[str, str]
) -> tuple[Row, list[Row]]:
    """An item and its history: new at creation, then `more` (code, day), then solved."""
    moves = [("N", created), *more, *([("S", solved)] if solved else [])]
    semantics = {"N": None, "S": "S", "D": "F"}
    history = [
        {
            "id": str(100 * number + place),
            "entityTypeId": 128,
            "ownerId": number,
            "categoryId": 13,
            "stageId": f"DT128_13:{code}",
            "stageSemanticId": semantics[code] or "P",
            "createdTime": moscow(day),
        }
        for place, (code, day) in enumerate(moves)
    ]
    item = {
        "entityTypeId": 128,
        "id": number,
        "categoryId": 13,
        "stageId": f"DT128_13:{moves[-1][0]}",
        "assignedById": 7,
        "contactId": contact,
        "createdTime": moscow(created),
        "movedTime": moscow(moves[-1][1]),
    }
    return item, history


def test_tickets_of_a_month() -> None:
    """2 follows the solved 1 after 5 days and is reopened, 3 is declined, 4 of another client is solved too late."""
    tickets = [
        ticket(1, "02.03", "03.03"),
        ticket(2, "08.03", "12.03", 1, ("S", "09.03"), ("N", "10.03")),
        ticket(3, "20.03", None, 1, ("D", "21.03")),
        ticket(4, "31.03", "05.04", 2),
        ticket(5, "30.03", None, 2),
    ]
    call = {
        "ID": "1",
        "CALL_ID": "a",
        "PORTAL_USER_ID": "7",
        "CALL_TYPE": "1",
        "CALL_FAILED_CODE": "304",
        "CALL_DURATION": "0",
        "CALL_START_DATE": moscow("02.03", "09:30"),
        "CRM_ENTITY_TYPE": "CONTACT",
        "CRM_ENTITY_ID": "1",
    }
    truth = {
        "process_items": [item for item, _ in tickets],
        "process_stage_history": [row for _, history in tickets for row in history],
        "calls": [call],
    }
    rows = {row["period_month"]: row for row in marts_of(truth, support_sources=SUPPORT)["service_quality"]}
    march, april = rows[date(2026, 3, 1)], rows[date(2026, 4, 1)]
    assert (march["tickets_created"], march["tickets_resolved"], march["tickets_open_eop"]) == (5, 2, 2)
    assert (march["answered"], march["first_response_minutes_sum"]) == (1, 30.0)
    assert (march["resolved_cohort"], march["resolution_hours_sum"]) == (3, 24.0 + 96.0 + 120.0)
    assert march["resolution_hours_median"] == 96.0
    assert (march["fcr_base"], march["fcr_tickets"], march["fcr_rate"], march["reopened"]) == (2, 0, 0.0, 1)
    assert (april["tickets_created"], april["tickets_resolved"], april["tickets_open_eop"]) == (0, 1, 1)


@pytest.mark.parametrize(("following", "is_fcr"), [("10.03", 0), ("11.03", 1)])
def test_a_ticket_is_solved_at_once_if_its_client_stays_quiet_for_a_week(following: str, is_fcr: int) -> None:
    tickets = [ticket(1, "02.03", "03.03"), ticket(2, following, None)]
    truth = {
        "process_items": [item for item, _ in tickets],
        "process_stage_history": [row for _, history in tickets for row in history],
    }
    (row, _) = marts_of(truth, support_sources=SUPPORT)["service_quality"]
    assert (row["fcr_base"], row["fcr_tickets"]) == (1, is_fcr)


def test_a_chat_is_answered_by_its_operator() -> None:
    """Neither the system's message nor that of the client is an answer; it is solved with its last message."""
    activity = {
        "ID": "5",
        "PROVIDER_ID": "IMOPENLINES_SESSION",
        "ASSOCIATED_ENTITY_ID": "321",
        "RESPONSIBLE_ID": "7",
        "COMPLETED": "Y",
        "OWNER_TYPE_ID": "3",
        "OWNER_ID": "1",
        "END_TIME": moscow("02.03"),
        "LAST_UPDATED": moscow("02.03"),
    }
    said = (("100", "09:00"), ("0", "09:01"), ("7", "09:12"), ("100", "10:30"))
    session = {
        "sessionId": 321,
        "users": {"100": {"connector": True, "bot": False}},  # the operator has been dismissed since
        "message": {str(n): {"senderid": who, "date": moscow("02.03", at)} for n, (who, at) in enumerate(said)},
    }
    source = [{"source_type": "openline", "entity_type_id": "", "pipeline_key": "", "topic_field": ""}]
    truth = {"activities": [activity], "openline_sessions": [session]}
    (row,) = marts_of(truth, support_sources=source)["service_quality"]
    assert (row["source_type"], row["answered"], row["first_response_minutes_sum"]) == ("openline", 1, 12.0)
    assert (row["resolved_cohort"], row["resolution_hours_sum"], row["fcr_rate"]) == (1, 1.5, 1.0)


EX_21 = {
    "send_date": "2026-04-02",
    "channel": "email",
    "campaign": "Дайджест",
    "utm_campaign": "Digest",
    "variant": "A",
    "send_hour": "10",
    "sent": "1000",
    "delivered": "950",
    "opened": "285",
    "clicked": "57",
    "unsubscribed": "3",
    "bounced": "50",
    "spent": "1.50",
    "currency": "",
}


def test_ex21_a_mailing() -> None:
    lead = {
        "ID": "1",
        "STATUS_ID": "NEW",
        "DATE_CREATE": moscow("03.04"),
        "UTM_SOURCE": "email",
        "UTM_CAMPAIGN": "digest",
    }
    visits = [{"date": "2026-04-05", "utm_campaign": "DIGEST", "visits": "9"}, {"date": "2026-03-31", "visits": "4"}]
    sms = {**EX_21, "channel": "sms", "utm_campaign": "", "variant": "", "send_hour": "", "spent": ""}
    letter, text = marts_of({"leads": [lead]}, campaign_messages=[EX_21, sms], web_sessions=visits)[
        "campaign_engagement"
    ]
    rates = ("delivery_rate", "open_rate", "click_rate", "ctor")
    assert tuple(letter[rate] for rate in rates) == (0.95, 0.3, 0.06, 0.2)
    assert (letter["leads"], letter["deals_won"], letter["visits"], letter["spent"]) == (1, 0, 9, Decimal("1.50"))
    assert (text["opened"], text["open_rate"], text["ctor"]) == (None, None, None)
    assert (text["leads"], text["visits"], text["spent"]) == (0, 0, Decimal(0))


def test_without_web_analytics_visits_are_unknown() -> None:
    (row,) = marts_of({}, campaign_messages=[EX_21])["campaign_engagement"]
    assert row["visits"] is None
