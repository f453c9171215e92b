"""Mart `product_performance` (3.21)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from .clients import Window, classify, window
from .facts import Deal, Facts, ProductRow, allocated
from .values import ZERO, as_money, avg_money, first_of_month, ratio, total

MartRow = dict[str, Any]

Sold = list[tuple[Deal, ProductRow]]


def product_performance(facts: Facts) -> list[MartRow]:
    """What every product brought by month and pipeline; what is still open stands in the running month."""
    cells: dict[tuple[date, int, int], dict[str, Sold]] = defaultdict(
        lambda: {"won": [], "lost": [], "open": [], "paid": []}
    )
    for deal in facts.deals.values():
        month = first_of_month(deal.closed_date) if deal.closed_date else facts.clock.running_month
        if deal.is_open or deal.closed_date:
            for part in deal.parts:
                cells[month, part.product_key, deal.pipeline_key][deal.outcome].append((deal, part))
    for day, deal, part in _received(facts):
        cells[first_of_month(day), part.product_key, deal.pipeline_key]["paid"].append((deal, part))
    rows = [
        {"period_month": month, "product_key": product, "pipeline_key": pipeline, **_measures(cell)}
        for (month, product, pipeline), cell in cells.items()
        if month <= facts.clock.running_month
    ]
    sales = _sales(facts)
    for month, pipeline in {(row["period_month"], row["pipeline_key"]) for row in rows}:
        of_month = [row for row in rows if (row["period_month"], row["pipeline_key"]) == (month, pipeline)]
        classes = _classes(sales[pipeline], window(month, facts.clock.today), facts.settings.abc_method)
        for row in of_month:
            row["revenue_rank"] = 1 + sum(other["revenue"] > row["revenue"] for other in of_month)
            row["abc_class"] = classes.get(row["product_key"], "N")
    return rows


def _sales(facts: Facts) -> dict[int, list[tuple[date, ProductRow]]]:
    """Revenue of product rows with its days, by pipeline."""
    sales: dict[int, list[tuple[date, ProductRow]]] = defaultdict(list)
    for day, deal, part in _received(facts):
        sales[deal.pipeline_key].append((day, part))
    return sales


def _received(facts: Facts) -> Iterator[tuple[date, Deal, ProductRow]]:
    """Product rows with their parts of each day's revenue of their deal (2.7)."""
    by_day: dict[tuple[date, int], Decimal] = defaultdict(lambda: ZERO)
    for receipt in facts.receipts:
        by_day[receipt.day, receipt.deal.id] += receipt.amount_rc
    for (day, deal_id), amount in by_day.items():
        deal = facts.deals[deal_id]
        shares = allocated(amount, [row.amount_rc or ZERO for row in deal.product_rows])
        shares += [] if deal.is_carried_by_rows else [amount]
        for part, share in zip(deal.parts, shares, strict=True):
            yield day, deal, replace(part, allocated_rc=share)


def _classes(sales: list[tuple[date, ProductRow]], days: Window, method: str) -> dict[int, str]:
    revenue: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for day, part in sales:
        if days.holds(day):
            revenue[part.product_key] += part.allocated_rc or ZERO
    rows: list[MartRow] = [{"client_key": product, "basis_value": value} for product, value in revenue.items()]
    classify(rows, method)
    return {row["client_key"]: row["abc_class"] for row in rows}


def _measures(cell: dict[str, Sold]) -> MartRow:
    sold, paid = [part for _, part in cell["won"]], [part for _, part in cell["paid"]]
    revenue, row_amount, discount = _sum(paid, "allocated_rc"), _sum(sold, "amount_rc"), _sum(sold, "discount_rc")
    quantity = sum((part.quantity for part in sold), Decimal(0))
    is_cost_known = all(part.cost_rc is not None for part in (*sold, *paid))
    margin = revenue - _sum(sold, "cost_rc") if is_cost_known else None
    return {
        "deals_won": len({deal.id for deal, _ in cell["won"]}),
        "quantity": quantity,
        "revenue": revenue,
        "row_amount": row_amount,
        "discount_amount": discount,
        "cost": _sum(sold, "cost_rc"),
        "is_cost_historical": _all_dated(part for part in sold if part.cost_rc is not None),
        "margin": margin,
        "margin_rate": ratio(margin, revenue),
        "cost_coverage": ratio(_sum([part for part in paid if part.cost_rc is not None], "allocated_rc"), revenue),
        "avg_unit_price": avg_money(row_amount, quantity),
        "discount_share": ratio(discount, discount + row_amount),
        "lost_amount": _sum([part for _, part in cell["lost"]], "allocated_rc"),
        "open_quantity": sum((part.quantity for _, part in cell["open"]), Decimal(0)),
        "open_amount": _sum([part for _, part in cell["open"]], "allocated_rc"),
    }


def _all_dated(parts: Iterable[ProductRow]) -> bool:
    dated = [part.is_cost_dated for part in parts]
    return bool(dated) and all(dated)


def _sum(parts: list[ProductRow], name: str) -> Decimal:
    return as_money(total(getattr(part, name) for part in parts))
