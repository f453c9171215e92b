"""Marts `client_retention`, `client_cohort`, `client_rating`, `unit_economics` (3.12, 3.13, 3.15, 3.16)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from .facts import NO_PRODUCT, UNKNOWN_CLIENT, Deal, Facts, Spend
from .sales import MARKETING
from .values import (
    ZERO,
    add_months,
    as_money,
    avg_money,
    cost_per,
    first_of_month,
    ratio,
    total,
    two_digits,
    whole_total,
)

MartRow = dict[str, Any]
Sales = dict[str, list[tuple[date, Deal]]]  # by client, in the order of time

ACTIVE_FOR = timedelta(days=180)
REGULAR = 2


def _sales(facts: Facts) -> Sales:
    sales: Sales = defaultdict(list)
    for deal in facts.deals.values():
        if deal.is_won and deal.closed_date and deal.client_key != UNKNOWN_CLIENT:
            sales[deal.client_key].append((deal.closed_date, deal))
    for of_client in sales.values():
        of_client.sort(key=lambda sale: (sale[1].closed_at, sale[1].id))
    return sales


def _receipts(facts: Facts, sales: Sales) -> dict[str, list[tuple[date, Decimal]]]:
    """Revenue of clients who bought, by month; what came before the first sale belongs to it."""
    received: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for receipt in facts.receipts:
        if of_client := sales.get(receipt.deal.client_key):
            day = max(receipt.day, of_client[0][0])
            received[receipt.deal.client_key].append((first_of_month(day), receipt.amount_rc))
    return received


def _months(first: date, last: date) -> list[date]:
    months = []
    while first <= last:
        months.append(first)
        first = add_months(first, 1)
    return months


def client_retention(facts: Facts) -> list[MartRow]:
    """Clients who came, stayed, left and came back, by full month."""
    days = [[day for day, _ in sales] for sales in _sales(facts).values()]
    if not days:
        return []
    first = first_of_month(min(day for of_client in days for day in of_client))
    return [_flow(days, month) for month in _months(first, add_months(facts.clock.running_month, -1))]


def _flow(days: list[list[date]], month: date) -> MartRow:
    following = add_months(month, 1)

    def is_active(of_client: list[date], at: date) -> bool:
        return any(at - ACTIVE_FOR <= day < at for day in of_client)

    start = new = reactivated = churned = end = 0
    for of_client in days:
        was_active, will_be = is_active(of_client, month), is_active(of_client, following)
        bought = any(month <= day < following for day in of_client)
        start += was_active
        end += will_be
        new += month <= of_client[0] < following
        reactivated += not was_active and of_client[0] < month and bought
        churned += was_active and not will_be
    return {
        "period_month": month,
        "clients_active_start": start,
        "clients_new": new,
        "clients_reactivated": reactivated,
        "clients_churned": churned,
        "clients_active_end": end,
        "churn_rate": ratio(churned, start),
        "retention_rate": ratio(start - churned, start),
    }


def client_cohort(facts: Facts) -> list[MartRow]:
    """What clients of one first month bought in the months after it."""
    cohorts: dict[date, Sales] = defaultdict(dict)
    all_sales = _sales(facts)
    received = _receipts(facts, all_sales)
    for client, sales in all_sales.items():
        cohorts[first_of_month(sales[0][0])][client] = sales
    last = add_months(facts.clock.running_month, -1)
    rows = []
    for cohort, clients in cohorts.items():
        for number, month in enumerate(_months(cohort, last)):
            revenue = [entry for client in clients for entry in received[client]]
            rows.append(
                {"cohort_month": cohort, "month_number": number, **_in_month(list(clients.values()), revenue, month)}
            )
    return rows


def _in_month(clients: list[list[tuple[date, Deal]]], received: list[tuple[date, Decimal]], month: date) -> MartRow:
    dated = [(first_of_month(day), deal) for sales in clients for day, deal in sales]
    so_far = [deal for at, deal in dated if at <= month]
    active = sum(any(first_of_month(day) == month for day, _ in sales) for sales in clients)
    cumulative = as_money(total(amount for at, amount in received if at <= month))
    return {
        "cohort_size": len(clients),
        "clients_active": active,
        "revenue": as_money(total(amount for at, amount in received if at == month)),
        "revenue_cumulative": cumulative,
        "gross_profit_cumulative": whole_total(deal.gross_profit_rc for deal in so_far),
        "retention": ratio(active, len(clients)),
        "ltv": avg_money(cumulative, len(clients)),
    }


def client_rating(facts: Facts, abc: Iterable[Mapping[str, Any]]) -> list[MartRow]:
    """Every client with a deal: what he bought, how often, how much of all."""
    deals: dict[str, list[Deal]] = defaultdict(list)
    for deal in facts.deals.values():
        if deal.client_key != UNKNOWN_CLIENT:
            deals[deal.client_key].append(deal)
    classes = {row["client_key"]: row["abc_class"] for row in abc if row["as_of_month"] == facts.clock.running_month}
    sales = _sales(facts)
    rows = [
        {
            "client_key": client,
            "deals_total": len(of_client),
            "deals_lost": sum(deal.is_lost for deal in of_client),
            **_rated(of_client, sales.get(client, []), facts.clock.today),
            "abc_class": classes.get(client),
        }
        for client, of_client in deals.items()
    ]
    for rank, column in (("revenue_rank", "revenue"), ("deals_rank", "deals_won")):
        values = [row[column] for row in rows]
        for row in rows:
            row[rank] = 1 + sum(value > row[column] for value in values)
    return rows


def _rated(deals: list[Deal], sales: list[tuple[date, Deal]], today: date) -> MartRow:
    won = [deal for _, deal in sales]
    revenue = as_money(total(deal.revenue_rc for deal in deals))
    discount, row_amount = (
        sum((getattr(deal, name) for deal in won), ZERO) for name in ("discount_rc", "row_amount_rc")
    )
    first, last = (sales[0][0], sales[-1][0]) if sales else (None, None)
    lifetime = (last - first).days if first and last else None
    return {
        "deals_won": len(won),
        "revenue": revenue,
        "gross_profit": whole_total(deal.gross_profit_rc for deal in won),
        "avg_check": avg_money(revenue, len(won)),
        "first_won_date": first,
        "last_won_date": last,
        "days_since_last_won": (today - last).days if last else None,
        "lifetime_days": lifetime,
        "purchase_interval_days": two_digits(lifetime, len(won) - 1) if len(won) > 1 else None,
        "is_regular": len(won) >= REGULAR,
        "favourite_product_key": _favourite(won),
        "discount_share": ratio(discount, discount + row_amount),
    }


def _favourite(won: list[Deal]) -> int:
    bought: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for deal in won:
        for part in deal.parts:
            bought[part.product_key] += part.allocated_rc or ZERO
    return min(bought, key=lambda product: (-bought[product], product)) if bought else NO_PRODUCT


def unit_economics(facts: Facts, spend: Iterable[Spend]) -> list[MartRow]:
    """What a client costs and brings, by month."""
    costs: dict[date, dict[str, Decimal]] = defaultdict(lambda: {"marketing": ZERO, "sales": ZERO})
    for item in spend:
        kind = "marketing" if item.cost_type in MARKETING else item.cost_type
        if kind in {"marketing", "sales"}:
            costs[first_of_month(item.spend_date)][kind] += item.cost_rc or ZERO
    all_sales = _sales(facts)
    won = [(first_of_month(day), deal) for sales in all_sales.values() for day, deal in sales]
    received = [entry for of_client in _receipts(facts, all_sales).values() for entry in of_client]
    known = [*costs, *(month for month, _ in won)]
    months = _months(min(known), facts.clock.running_month) if known else []
    return [
        _economy(
            month,
            costs[month],
            [(at, deal) for at, deal in won if at <= month],
            as_money(total(amount for at, amount in received if at <= month)),
        )
        for month in months
    ]


def _economy(month: date, cost: Mapping[str, Decimal], won: list[tuple[date, Deal]], revenue: Decimal) -> MartRow:
    deals = [deal for _, deal in won]
    clients = len({deal.client_key for deal in deals})
    new = sum(deal.won_number == 1 for at, deal in won if at == month)
    profit = whole_total(deal.gross_profit_rc for deal in deals)
    ltv = avg_money(revenue, clients)
    ltv_margin = None if profit is None else avg_money(profit, clients)
    cac_full = cost_per(cost["marketing"] + cost["sales"], new)
    worth = ltv if ltv_margin is None else ltv_margin
    return {
        "period_month": month,
        "marketing_cost": as_money(cost["marketing"]),
        "sales_cost": as_money(cost["sales"]),
        "new_clients": new,
        "cac_marketing": cost_per(cost["marketing"], new),
        "cac_full": cac_full,
        "ltv": ltv,
        "ltv_margin": ltv_margin,
        "ltv_to_cac": None if worth is None else two_digits(worth, cac_full),
        "ltv_basis": "revenue" if ltv_margin is None else "gross_profit",
        "avg_check": avg_money(revenue, len(deals)),
        "purchases_per_client": ratio(len(deals), clients),
    }
