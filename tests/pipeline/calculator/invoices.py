"""Mart `invoice_summary` (3.27)."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

from .items import Item
from .values import ZERO, Clock, as_money, first_of_month

MartRow = dict[str, Any]


def _empty() -> dict[str, Any]:
    counts = dict.fromkeys(("invoices_created", "invoices_paid", "invoices_overdue"), 0)
    return {**counts, "invoices_amount": ZERO, "paid_amount": ZERO}


def invoice_summary(invoices: Iterable[Item], clock: Clock) -> list[MartRow]:
    """Invoices by month of creation and of payment; those overdue by the month of their close date."""
    cells: dict[tuple[date, int, int], dict[str, Any]] = defaultdict(_empty)
    for invoice in invoices:

        def cell(day: date, invoice: Item = invoice) -> dict[str, Any]:
            return cells[first_of_month(day), invoice.pipeline_key, invoice.manager_key]

        created = cell(clock.day(invoice.created_at))
        created["invoices_created"] += 1
        created["invoices_amount"] += invoice.amount_rc or ZERO
        if invoice.outcome == "done" and invoice.closed_at:
            paid = cell(clock.day(invoice.closed_at))
            paid["invoices_paid"] += 1
            paid["paid_amount"] += invoice.amount_rc or ZERO
        if invoice.is_open and invoice.close_date and invoice.is_overdue(clock.today):
            cell(invoice.close_date)["invoices_overdue"] += 1
    return [
        {
            "period_month": month,
            "pipeline_key": pipeline,
            "manager_key": manager,
            **measures,
            **{name: as_money(measures[name]) for name in ("invoices_amount", "paid_amount")},
        }
        for (month, pipeline, manager), measures in cells.items()
        if month <= clock.running_month
    ]
