"""Vars that look into snapshots: who closed a deal, and in which department the seller then worked."""

from decimal import Decimal

import pytest
from traps.mechanism import VARS
from traps.sql_project import Project

STAGES = [
    {"ID": str(number), "ENTITY_ID": "DEAL_STAGE", "STATUS_ID": code, "NAME": code, "SORT": str(number * 10), **more}
    for number, (code, more) in enumerate([("NEW", {}), ("WON", {"SEMANTICS": "S"})], 1)
]


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    """A sale of May 8 and one of May 20 that both belong to 9 now; 8 sold the first, and moved from 1 to 2 in June."""
    monkeypatch.setitem(VARS, "manager_attribution", "at_close")
    monkeypatch.setitem(VARS, "department_as_of", "event")
    project = Project()
    project.raw("statuses", *STAGES)
    project.raw("currencies", {"CURRENCY": "RUB", "BASE": "Y", "AMOUNT": "1", "AMOUNT_CNT": "1"})
    project.execute(
        "insert into raw_bitrix24.currency_rates (seen_date, currency, amount, amount_cnt)"
        " values ('2026-05-01', 'RUB', '1', '1')"
    )
    project.raw("departments", {"ID": "1", "NAME": "Первый"}, {"ID": "2", "NAME": "Второй"})
    for user, department in (("8", 2), ("9", 2)):
        project.raw("users", {"ID": user, "ACTIVE": True, "UF_DEPARTMENT": [department]})
    for number, day, amount in ((1, "08", "100.00"), (2, "20", "10.00")):
        closed = f"2026-05-{day}T10:00:00+03:00"
        project.raw(
            "deals",
            {
                "ID": str(number), "CATEGORY_ID": "0", "STAGE_ID": "WON", "STAGE_SEMANTIC_ID": "S",
                "ASSIGNED_BY_ID": "9", "OPPORTUNITY": amount, "CURRENCY_ID": "RUB",
                "DATE_CREATE": "2026-05-01T10:00:00+03:00", "DATE_MODIFY": closed, "MOVED_TIME": closed,
            },
        )  # fmt: skip
    project.give(
        "snap_deals",
        "deal_id bigint, manager_id bigint, valid_from timestamptz",
        [(1, 8, "2026-05-01 00:00:00+00"), (1, 9, "2026-05-15 00:00:00+00"), (2, 9, "2026-05-01 00:00:00+00")],
    )
    project.give(
        "snap_users",
        "user_id bigint, department_id bigint, valid_from timestamptz",
        [(8, 1, "2026-05-01 00:00:00+00"), (8, 2, "2026-06-01 09:00:00+00"), (9, 2, "2026-05-01 00:00:00+00")],
    )
    return project


def test_a_sale_stays_with_its_seller_and_his_department_of_that_month(project: Project) -> None:
    """People who move, or hand a client over, would take the past along."""
    sold = project.read("manager_performance", "manager_key, department_key, revenue", "deals_won > 0")
    assert sold == [(8, 1, Decimal(100)), (9, 2, Decimal(10))]
    departments = project.read("department_performance", "department_key, rollup, revenue", "deals_won > 0")
    own = [(key, revenue) for key, rollup, revenue in departments if rollup == "own"]
    assert own == [(1, Decimal(100)), (2, Decimal(10))]
