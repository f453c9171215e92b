"""When and how much revenue a deal brings (R12)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from .facts import DEAL, Facts, Receipt
from .items import SMART_INVOICE, Item
from .values import ZERO, Clock, Rates, amount_of, converted, currency_code, flag, reference, rows_of, whole

Paid = Iterator[tuple[int | None, date, Decimal | None]]  # deal, day, amount


def recognise_revenue(truth: Mapping[str, Any], facts: Facts, rates: Rates, invoices: Iterable[Item]) -> None:
    """Write the revenue of deals into the facts: won amounts or, if asked for, what was paid."""
    basis = facts.settings.revenue_basis
    if basis == "deal_amount":
        won = [deal for deal in facts.deals.values() if deal.is_won]
        facts.receipts = [Receipt(deal, deal.closed_date, deal.revenue_rc) for deal in won if deal.closed_date]
        return
    invoices = list(invoices)
    paid = _payments(truth, facts.clock, rates, invoices) if basis == "payment" else _invoices(facts.clock, invoices)
    for deal in facts.deals.values():
        deal.received_rc = ZERO
    for deal_id, day, amount in paid:
        if deal := facts.deals.get(deal_id or 0):
            facts.receipts.append(Receipt(deal, day, amount or ZERO))
            deal.received_rc = deal.revenue_rc + (amount or ZERO)


def _invoices(clock: Clock, invoices: Iterable[Item]) -> Paid:
    for invoice in invoices:
        if invoice.outcome == "done" and invoice.closed_at:
            yield invoice.deal_id, clock.day(invoice.closed_at), invoice.amount_rc


def _payments(truth: Mapping[str, Any], clock: Clock, rates: Rates, invoices: Iterable[Item]) -> Paid:
    """Payments of orders, an order being one of a deal or of an invoice of a deal; a return takes back."""
    deal_of_invoice = {invoice.id: invoice.deal_id for invoice in invoices}
    owners: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in rows_of(truth, "order_entities"):
        kind, owner = whole(row["owner_type_id"]), whole(row["owner_id"])
        deal_id = owner if kind == DEAL else deal_of_invoice.get(owner) if kind == SMART_INVOICE else None
        if deal_id:
            owners[whole(row["order_id"])].append((kind, deal_id))
    for row in rows_of(truth, "payments"):
        paid_at = clock.instant(row.get("date_paid"))
        if not flag(row.get("paid")) or paid_at is None:
            continue
        day = clock.day(paid_at)
        amount = converted(rates.on(currency_code(row.get("currency")), day), amount_of(row.get("sum")))
        if amount is not None and flag(row.get("is_return")):
            amount = -amount
        yield min(owners[reference(row.get("order_id")) or 0], default=(0, None))[1], day, amount
