"""Mart `task_efficiency` (3.23)."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from .facts import Facts, Task
from .values import median, ratio, two_digits

MartRow = dict[str, Any]

HOUR = 3600


@dataclass
class _Cell:
    """Tasks of one manager in one project by what happened to them in a month."""

    created: list[Task] = field(default_factory=list)
    closed: list[Task] = field(default_factory=list)
    overdue: list[Task] = field(default_factory=list)


def task_efficiency(facts: Facts) -> list[MartRow]:
    """Tasks by month of creation, of closing and of a missed deadline; hours, marks and returns go with the closing."""
    clock = facts.clock
    cells: dict[tuple[date, int, int], _Cell] = defaultdict(_Cell)
    for task in facts.tasks.values():

        def cell(moment: Any, task: Task = task) -> _Cell:
            return cells[clock.month(moment), task.manager_key, task.project_key]

        cell(task.created_at).created.append(task)
        if task.is_done and task.closed_at:
            cell(task.closed_at).closed.append(task)
        if task.deadline_at and task.is_overdue(clock.as_of):
            cell(task.deadline_at).overdue.append(task)
    return [
        {"period_month": month, "manager_key": manager, "project_key": project, **_measures(cell)}
        for (month, manager, project), cell in cells.items()
        if month <= clock.running_month
    ]


def _measures(cell: _Cell) -> MartRow:
    with_deadline = [task for task in cell.closed if task.deadline_at]
    on_time = sum(task.closed_at <= task.deadline_at for task in with_deadline if task.closed_at and task.deadline_at)
    seconds = [int((task.closed_at - task.created_at).total_seconds()) for task in cell.closed if task.closed_at]
    positive, negative = (sum(task.mark == mark for task in cell.closed) for mark in ("P", "N"))
    return {
        "tasks_created": len(cell.created),
        "tasks_closed": len(cell.closed),
        "tasks_on_time": on_time,
        "tasks_with_deadline_closed": len(with_deadline),
        "tasks_overdue": len(cell.overdue),
        "tasks_overdue_open": sum(task.closed_at is None for task in cell.overdue),
        "close_hours_sum": two_digits(sum(seconds), HOUR),
        "close_hours_median": median(seconds, HOUR),
        "estimate_hours": two_digits(sum(task.estimate_seconds for task in cell.closed), HOUR),
        "spent_hours": two_digits(sum(task.spent_seconds for task in cell.closed), HOUR),
        "marks_positive": positive,
        "marks_negative": negative,
        "task_returns": sum(task.returns_count for task in cell.closed),
        "on_time_rate": ratio(on_time, len(with_deadline)),
        "positive_mark_rate": ratio(positive, positive + negative),
    }
