"""Mart `sales_plan_fact` (3.10)."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .facts import Deal, Facts, PlanKey, is_workday
from .values import add_months, as_money, avg_money, first_of_month, ratio, rounded, total

MartRow = dict[str, Any]


def sales_plan_fact(facts: Facts, plans: Mapping[PlanKey, Decimal]) -> list[MartRow]:
    """Plans beside what was sold, and where the pace leads."""
    return [_row(facts, key, plan) for key, plan in plans.items() if key[0] <= facts.clock.running_month]


def _row(facts: Facts, key: PlanKey, plan: Decimal) -> MartRow:
    month, scope, scope_key, metric = key
    won = sum(
        deal.is_won and first_of_month(deal.closed_date) == month and _holds(facts, scope, scope_key, deal)
        for deal in facts.deals.values()
        if deal.closed_date
    )
    received = (
        receipt.amount_rc
        for receipt in facts.receipts
        if first_of_month(receipt.day) == month and _holds(facts, scope, scope_key, receipt.deal)
    )
    fact = as_money(total(received) if metric == "revenue" else won)
    days = [month + timedelta(days=number) for number in range((add_months(month, 1) - month).days)]
    workdays = [day for day in days if is_workday(day, facts.changed_days)]
    elapsed = sum(day <= facts.clock.today for day in workdays)
    run_rate = avg_money(fact * len(workdays), elapsed)
    return {
        "period_month": month,
        "scope": scope,
        "scope_key": scope_key,
        "metric": metric,
        "plan_value": plan,
        "fact_value": fact,
        "gap": fact - plan,
        "attainment": ratio(fact, plan),
        "workdays_elapsed": elapsed,
        "workdays_total": len(workdays),
        "plan_to_date": rounded(Fraction(plan) * elapsed / len(workdays), 2) if workdays else None,
        "run_rate": run_rate,
        "run_rate_attainment": ratio(run_rate, plan),
    }


def _holds(facts: Facts, scope: str, scope_key: str, deal: Deal) -> bool:
    if scope == "manager":
        return str(deal.manager_key) == scope_key
    if scope == "pipeline":
        return str(deal.pipeline_key) == scope_key
    if scope == "department":
        return scope_key in map(str, facts.departments_above(facts.department_of(deal.manager_key)))
    return scope == "company"
