"""Mart `project_performance` (3.23)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from .facts import NO_PROJECT, Facts, Task
from .values import (
    Rates,
    Row,
    amount_of,
    calendar_date,
    converted,
    currency_code,
    ratio,
    reference,
    rows_of,
    two_digits,
    whole_total,
)

MartRow = dict[str, Any]
Amounts = dict[int, dict[str, list[Decimal | None]]]  # by project and column

HOUR = 3600


def project_performance(facts: Facts, truth: Mapping[str, Any], budgets: Iterable[Row], rates: Rates) -> list[MartRow]:
    """What became of every project, with its budget."""
    groups = {int(row["id"]): row for row in rows_of(truth, "workgroups")}
    tasks: dict[int, list[Task]] = defaultdict(list)
    for task in facts.tasks.values():
        tasks[task.project_key].append(task)
    amounts = _amounts(budgets, rates)
    projects = {*groups, *tasks, *amounts} - {NO_PROJECT}
    return [
        {
            "project_key": project,
            **_measures(tasks[project], groups.get(project, {}), facts),
            **_budget(amounts.get(project, {})),
        }
        for project in sorted(projects)
    ]


def _amounts(budgets: Iterable[Row], rates: Rates) -> Amounts:
    amounts: Amounts = defaultdict(lambda: {"budget_plan": [], "budget_fact": []})
    for row in budgets:
        project, month = reference(row.get("project_id")), calendar_date(row.get("period_month"))
        if project and month:
            rate = rates.on(currency_code(row.get("currency")) or rates.reporting_currency, month)
            for column, known in amounts[project].items():
                if row.get(column):
                    known.append(converted(rate, amount_of(row[column])))
    return amounts


def _budget(amounts: Mapping[str, list[Decimal | None]]) -> MartRow:
    plan, fact = (whole_total(amounts[column]) if amounts.get(column) else None for column in _COLUMNS)
    known = plan is not None and fact is not None
    return {
        "budget_plan": plan,
        "budget_fact": fact,
        "budget_deviation": ratio(fact - plan, plan) if known else None,  # type: ignore[operator]
    }


_COLUMNS = ("budget_plan", "budget_fact")


def _measures(tasks: list[Task], group: Row, facts: Facts) -> MartRow:
    done = [task for task in tasks if task.is_done]
    with_deadline = [task for task in done if task.deadline_at]
    on_time = [
        task for task in with_deadline if task.closed_at and task.deadline_at and task.closed_at <= task.deadline_at
    ]
    estimated = [task for task in tasks if task.estimate_seconds]
    estimate = sum(task.estimate_seconds for task in estimated)
    returned = [task for task in done if task.returns_count]
    days = [facts.clock.day(task.closed_at) for task in done if task.closed_at]
    planned = calendar_date(group.get("project_date_finish"))
    finished = max(days) if days and len(done) == len(tasks) else None
    return {
        "tasks_total": len(tasks),
        "tasks_done": len(done),
        "on_time_rate": ratio(len(on_time), len(with_deadline)),
        "tasks_overdue": sum(task.is_overdue(facts.clock.as_of) for task in tasks),
        "overdue_open": sum(task.is_overdue(facts.clock.as_of) and task.closed_at is None for task in tasks),
        "progress": ratio(len(done), len(tasks)),
        "date_finish_plan": planned,
        "date_finish_fact": finished,
        "delay_days": (finished - planned).days if finished and planned else None,
        "estimate_hours": two_digits(estimate, HOUR),
        "spent_hours": two_digits(sum(task.spent_seconds for task in tasks), HOUR),
        "effort_deviation": ratio(sum(task.spent_seconds for task in estimated) - estimate, estimate),
        "task_returns": sum(task.returns_count for task in tasks),
        "return_rate": ratio(len(returned), len(done)),
    }
