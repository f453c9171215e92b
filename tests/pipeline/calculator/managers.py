"""Marts `manager_performance` and `department_performance` (3.5, 3.18)."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .facts import DEFERRED, EMAIL, MEETING, OUTGOING, Deal, Facts, PlanKey
from .idle import Idleness
from .responses import Responses
from .values import ZERO, add_months, as_money, avg_money, first_of_month, median, ratio, two_digits

MartRow = dict[str, Any]
Cell = dict[str, Any]
Cells = dict[tuple[date, int], Cell]  # by month and manager

TASK_WEIGHT = Fraction(1, 2)
OVERLOADED, UNDERLOADED = 1.5, 0.5
HOUR, MINUTE = 3_600, 60

_COUNTS = (
    "deals_created",
    "deals_won",
    "deals_lost",
    "cohort_won",
    "deals_won_repeat",
    "leads_assigned",
    "leads_with_won",
    "deals_moved_forward",
    "stages_skipped",
    "calls_total",
    "calls_out",
    "calls_in",
    "calls_connected",
    "calls_missed",
    "calls_short",
    "talk_seconds",
    "tasks_closed",
    "tasks_on_time",
    "tasks_with_deadline_closed",
    "tasks_overdue",
    "activities_done",
    "meetings_done",
    "emails_out",
    "open_deals_eop",
    "stale_deals_eop",
    "open_tasks_eop",
    "requests",
    "requests_answered",
)
_SUMS = ("revenue", "lost_amount", "revenue_repeat", "discount", "row_amount", "open_amount_eop")
_LISTS = ("cycle_days", "response_seconds")
_PLANS = ("plan_revenue", "plan_deals_won")


def _empty() -> Cell:
    lists: dict[str, list[int]] = {name: [] for name in _LISTS}
    return {**dict.fromkeys(_COUNTS, 0), **dict.fromkeys(_SUMS, ZERO), **lists, **dict.fromkeys(_PLANS)}


class _Board:
    """Measures of each manager in each month."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.clock = facts.clock
        self.cells: Cells = defaultdict(_empty)

    def at(self, moment: datetime, manager_key: int) -> Cell:
        return self.cells[self.clock.month(moment), manager_key]

    def add_deals(self) -> None:
        for deal in self.facts.deals.values():
            created = self.at(deal.created_at, deal.manager_key)
            created["deals_created"] += 1
            created["cohort_won"] += deal.is_won
            if deal.closed_at:
                self._add_closed(deal, self.at(deal.closed_at, deal.manager_key))
            for stay in deal.stays:
                if stay.is_forward or stay.skipped_count:
                    entered = self.at(stay.entered_at, deal.manager_key)
                    entered["deals_moved_forward"] += stay.is_forward
                    entered["stages_skipped"] += stay.skipped_count

    @staticmethod
    def _add_closed(deal: Deal, cell: Cell) -> None:
        if deal.is_lost:
            cell["deals_lost"] += 1
            cell["lost_amount"] += deal.amount_rc or ZERO
            return
        cell["deals_won"] += 1
        cell["cycle_days"].append(deal.cycle_days)
        cell["discount"] += deal.discount_rc
        cell["row_amount"] += deal.row_amount_rc
        if deal.is_repeat_sale:
            cell["deals_won_repeat"] += 1

    def add_receipts(self) -> None:
        for receipt in self.facts.receipts:
            cell = self.cells[first_of_month(receipt.day), receipt.deal.manager_key]
            cell["revenue"] += receipt.amount_rc
            cell["revenue_repeat"] += receipt.amount_rc if receipt.deal.is_repeat_sale else ZERO

    def add_leads(self) -> None:
        for lead in self.facts.leads.values():
            cell = self.at(lead.created_at, lead.manager_key)
            cell["leads_assigned"] += 1
            cell["leads_with_won"] += any(deal.is_won for deal in self.facts.deals_by_lead.get(lead.id, []))

    def add_requests(self) -> None:
        responses = Responses(self.facts)
        for request in (*self.facts.leads.values(), *self.facts.deals_without_lead):
            cell = self.at(request.created_at, request.manager_key)
            cell["requests"] += 1
            seconds = responses.seconds(request)
            if seconds is not None:
                cell["requests_answered"] += 1
                cell["response_seconds"].append(seconds)

    def add_calls(self) -> None:
        for call in self.facts.calls:
            cell = self.at(call.started_at, call.manager_key)
            cell["calls_total"] += 1
            cell[f"calls_{call.direction}"] += 1
            cell["calls_connected"] += call.is_connected
            cell["calls_missed"] += call.is_missed
            cell["calls_short"] += call.is_short
            cell["talk_seconds"] += call.duration_seconds if call.is_connected else 0

    def add_tasks(self) -> None:
        for task in self.facts.tasks.values():
            if task.is_done and task.closed_at:
                cell = self.at(task.closed_at, task.manager_key)
                cell["tasks_closed"] += 1
                cell["tasks_with_deadline_closed"] += task.deadline_at is not None
                cell["tasks_on_time"] += task.deadline_at is not None and task.closed_at <= task.deadline_at
            if task.deadline_at and task.is_overdue(self.clock.as_of):
                self.at(task.deadline_at, task.manager_key)["tasks_overdue"] += 1
            if task.status != DEFERRED:
                for month in self._months_open(task.created_at, task.closed_at):
                    self.cells[month, task.manager_key]["open_tasks_eop"] += 1

    def add_activities(self) -> None:
        for activity in self.facts.activities:
            if activity.completed_at:
                cell = self.at(activity.completed_at, activity.manager_key)
                cell["activities_done"] += 1
                cell["meetings_done"] += activity.type_id == MEETING
                cell["emails_out"] += activity.type_id == EMAIL and activity.direction == OUTGOING

    def add_open_deals(self) -> None:
        idleness = Idleness(self.facts)
        for deal in self.facts.deals.values():
            spans = [(stay.entered_at, stay.left_at) for stay in deal.stays if stay.semantics == "P"]
            if not deal.stays:
                spans = [(deal.created_at, deal.closed_at)]
            for month in (month for span in spans for month in self._months_open(*span)):
                cell = self.cells[month, deal.manager_key]
                cell["open_deals_eop"] += 1
                cell["open_amount_eop"] += deal.amount_rc or ZERO
                cell["stale_deals_eop"] += month == self.clock.running_month and idleness.is_stale(deal)

    def _months_open(self, since: datetime, until: datetime | None) -> list[date]:
        months = []
        month = self.clock.month(since)
        while month <= self.clock.running_month:
            end = self.clock.end_of_period(month)
            if until is not None and until < end:
                break
            if since < end:
                months.append(month)
            month = add_months(month, 1)
        return months


def manager_cells(facts: Facts, plans: Mapping[PlanKey, Decimal]) -> Cells:
    """Work, results and plans of every manager by month, wherever there are any."""
    board = _Board(facts)
    board.add_deals()
    board.add_receipts()
    board.add_leads()
    board.add_requests()
    board.add_calls()
    board.add_tasks()
    board.add_activities()
    board.add_open_deals()
    planned = set()
    for (month, scope, manager, metric), value in plans.items():
        if scope == "manager":
            board.cells[month, int(manager)][f"plan_{metric}"] = value
            planned.add((month, int(manager)))
    seen = {key for key, cell in board.cells.items() if any(cell.values())}
    return {key: board.cells[key] for key in sorted(seen | planned) if key[0] <= facts.clock.running_month}


def manager_performance(facts: Facts, cells: Cells) -> list[MartRow]:
    """Work and results of every manager by month, compared with the others."""
    running = facts.clock.running_month
    rows = {
        key: {"period_month": key[0], "manager_key": key[1], **_measures(cell, is_running=key[0] == running)}
        for key, cell in cells.items()
    }
    for month in {month for month, _ in rows}:
        _compare(facts, {manager: row for (period, manager), row in rows.items() if period == month})
    return list(rows.values())


def department_performance(facts: Facts, cells: Cells) -> list[MartRow]:
    """The same of whole departments, alone and with all below them."""
    members: dict[tuple[date, int, str], list[Cell]] = defaultdict(list)
    for (month, manager), cell in cells.items():
        own = facts.department_of(manager)
        members[month, own, "own"].append(cell)
        for department in facts.departments_above(own):
            members[month, department, "with_children"].append(cell)
    revenue: dict[date, Decimal] = defaultdict(lambda: ZERO)
    for (month, _), cell in cells.items():
        revenue[month] += cell["revenue"]
    return [
        {
            "period_month": month,
            "department_key": department,
            "rollup": rollup,
            "managers_count": len(team),
            **_measures(_together(team), is_running=month == facts.clock.running_month),
            "revenue_share": ratio(sum(cell["revenue"] for cell in team), revenue[month]),
        }
        for (month, department, rollup), team in members.items()
    ]


def _together(team: list[Cell]) -> Cell:
    summed: Cell = {name: sum(cell[name] for cell in team) for name in (*_COUNTS, *_SUMS)}
    summed |= {name: [value for cell in team for value in cell[name]] for name in _LISTS}
    for name in _PLANS:
        known = [cell[name] for cell in team if cell[name] is not None]
        summed[name] = sum(known) if known else None
    return summed


def _measures(cell: Cell, *, is_running: bool) -> MartRow:
    kept = {name: cell[name] for name in _COUNTS if name != "talk_seconds"}
    sums = {name: as_money(cell[name]) for name in ("revenue", "lost_amount", "revenue_repeat", "open_amount_eop")}
    closed = cell["deals_won"] + cell["deals_lost"]
    load_points = cell["open_deals_eop"] + TASK_WEIGHT * cell["open_tasks_eop"]
    return {
        **kept,
        **sums,
        "stale_deals_eop": cell["stale_deals_eop"] if is_running else None,
        "deals_closed": closed,
        "win_rate": ratio(cell["deals_won"], closed),
        "cohort_conversion": ratio(cell["cohort_won"], cell["deals_created"]),
        "avg_check": avg_money(cell["revenue"], cell["deals_won"]),
        "discount_share": ratio(cell["discount"], cell["discount"] + cell["row_amount"]),
        "cycle_days_sum": sum(cell["cycle_days"]),
        "cycle_days_avg": two_digits(sum(cell["cycle_days"]), cell["deals_won"]),
        "cycle_days_median": median(cell["cycle_days"]),
        "lead_to_won": ratio(cell["leads_with_won"], cell["leads_assigned"]),
        "talk_hours": two_digits(cell["talk_seconds"], HOUR),
        "avg_talk_seconds": two_digits(cell["talk_seconds"], cell["calls_connected"]),
        "missed_rate": ratio(cell["calls_missed"], cell["calls_in"]),
        "short_call_share": ratio(cell["calls_short"], cell["calls_connected"]),
        "calls_per_won": two_digits(cell["calls_total"], cell["deals_won"]),
        "tasks_on_time_rate": ratio(cell["tasks_on_time"], cell["tasks_with_deadline_closed"]),
        "load_points": two_digits(load_points),
        "first_response_minutes_sum": two_digits(sum(cell["response_seconds"]), MINUTE),
        "first_response_minutes_avg": two_digits(sum(cell["response_seconds"]), MINUTE * cell["requests_answered"]),
        "first_response_minutes_median": median(cell["response_seconds"], MINUTE),
        **{name: cell[name] for name in _PLANS},
        "plan_attainment": ratio(cell["revenue"], cell["plan_revenue"]),
    }


def _rank(rows: Mapping[int, MartRow], column: str, first: str, second: str) -> None:
    keys = [(row[first], row[second]) for row in rows.values() if row["deals_won"]]
    for row in rows.values():
        better = sum(key > (row[first], row[second]) for key in keys)
        row[column] = better + 1 if row["deals_won"] else None


def _load_status(index: float | None) -> str | None:
    if index is None:
        return None
    if index >= OVERLOADED:
        return "overloaded"
    return "underloaded" if index <= UNDERLOADED else "normal"


def _compare(facts: Facts, rows: Mapping[int, MartRow]) -> None:
    """Fill the columns that set a manager against the company or his department in one month."""
    company_revenue = sum(row["revenue"] for row in rows.values())
    departments: dict[int, list[int]] = defaultdict(list)
    for manager in rows:
        departments[facts.department_of(manager)].append(manager)
    for members in departments.values():
        team = [rows[manager] for manager in members]
        team_check = avg_money(sum(row["revenue"] for row in team), sum(row["deals_won"] for row in team))
        loads = [
            Fraction(rows[manager]["load_points"])
            for manager in members
            if manager in facts.users and facts.users[manager].is_active and rows[manager]["load_points"]
        ]
        for row in team:
            relative = ratio(row["avg_check"], team_check)
            row["avg_check_vs_department"] = None if relative is None else float(Decimal(str(relative)) - 1)
            row["revenue_share"] = ratio(row["revenue"], company_revenue)
            row["load_index"] = ratio(Fraction(row["load_points"]), sum(loads) / len(loads)) if loads else None
            row["load_status"] = _load_status(row["load_index"])
    _rank(rows, "rank_revenue", "revenue", "deals_won")
    _rank(rows, "rank_deals_won", "deals_won", "revenue")
