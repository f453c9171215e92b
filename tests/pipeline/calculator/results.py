"""Marts `manager_channel_performance`, `repeat_sales`, `loss_analysis`, `lead_statistics` (3.11, 3.14, 3.17, 3.22)."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any

from .channels import UNKNOWN
from .facts import NO_MANAGER, UNKNOWN_CLIENT, Deal, Facts, Lead
from .responses import Responses
from .stages import LEADS, Stay
from .values import ZERO, add_months, avg_money, first_of_month, ratio, two_digits

MartRow = dict[str, Any]
Cell = dict[str, Any]

ALL_PIPELINES = -1
HOUR, MINUTE = 3600, 60


def _table(counts: tuple[str, ...], sums: tuple[str, ...]) -> dict[Any, Cell]:
    return defaultdict(lambda: {**dict.fromkeys(counts, 0), **dict.fromkeys(sums, ZERO)})


def manager_channel_performance(facts: Facts) -> list[MartRow]:
    """What each manager makes of the deals of each channel."""
    cells = _table(("deals_created", "deals_won", "deals_lost", "cohort_won"), ("revenue",))
    for deal in facts.deals.values():
        who = deal.manager_key, deal.last_touch[0]
        created = cells[first_of_month(deal.created_date), *who]
        created["deals_created"] += 1
        created["cohort_won"] += deal.is_won
        if deal.closed_date:
            closed = cells[first_of_month(deal.closed_date), *who]
            closed["deals_won"] += deal.is_won
            closed["deals_lost"] += deal.is_lost
    for receipt in facts.receipts:
        deal = receipt.deal
        cells[first_of_month(receipt.day), deal.manager_key, deal.last_touch[0]]["revenue"] += receipt.amount_rc
    return [
        {
            "period_month": month,
            "manager_key": manager,
            "channel_key": channel,
            **cell,
            "cohort_conversion": ratio(cell["cohort_won"], cell["deals_created"]),
            "win_rate": ratio(cell["deals_won"], cell["deals_won"] + cell["deals_lost"]),
            "avg_check": avg_money(cell["revenue"], cell["deals_won"]),
        }
        for (month, manager, channel), cell in cells.items()
        if month <= facts.clock.running_month
    ]


def repeat_sales(facts: Facts) -> list[MartRow]:
    """First and repeat sales, and on a row of its own the share of clients who came back by each month's end."""
    cells = _table(("deals_won", "deals_lost"), ("revenue", "lost_amount"))
    clients: dict[Any, set[str]] = defaultdict(set)
    for deal in facts.deals.values():
        if deal.closed_date is None:
            continue
        key = first_of_month(deal.closed_date), deal.manager_key, deal.pipeline_key, deal.is_repeat_sale
        cells[key]["deals_won"] += deal.is_won
        cells[key]["deals_lost"] += deal.is_lost
        cells[key]["lost_amount"] += (deal.amount_rc or ZERO) if deal.is_lost else ZERO
        if deal.is_won and deal.client_key != UNKNOWN_CLIENT:
            clients[key].add(deal.client_key)
    for receipt in facts.receipts:
        deal = receipt.deal
        key = first_of_month(receipt.day), deal.manager_key, deal.pipeline_key, deal.is_repeat_sale
        cells[key]["revenue"] += receipt.amount_rc
    rows = [
        {**_repeat_row(key, len(clients[key])), **cell}
        for key, cell in cells.items()
        if key[0] <= facts.clock.running_month
    ]
    return rows + _returning_clients(facts)


def _repeat_row(key: tuple[date, int, int, bool], clients: int) -> MartRow:
    labels = dict(zip(("period_month", "manager_key", "pipeline_key", "is_repeat_sale"), key, strict=True))
    return {**labels, "clients": clients, "repeat_clients_share": None}


def _returning_clients(facts: Facts) -> list[MartRow]:
    sales = [(first_of_month(deal.closed_date), deal) for deal in facts.deals.values() if deal.closed_date]
    sales = [(month, deal) for month, deal in sales if deal.is_won and month <= facts.clock.running_month]
    month = min((month for month, _ in sales), default=None)
    rows = []
    while month and month <= facts.clock.running_month:
        won = Counter(deal.client_key for at, deal in sales if at <= month and deal.client_key != UNKNOWN_CLIENT)
        returned = sum(count > 1 for count in won.values())
        rows.append(
            {
                **_repeat_row((month, NO_MANAGER, ALL_PIPELINES, False), len(won)),
                **{"deals_won": 0, "deals_lost": 0, "revenue": ZERO, "lost_amount": ZERO},
                "repeat_clients_share": ratio(returned, len(won)),
            }
        )
        month = add_months(month, 1)
    return rows


def lead_statistics(facts: Facts) -> list[MartRow]:
    """Leads by the day they came, with all that became of them."""
    counts = (
        "leads",
        "leads_repeat",
        "leads_open",
        "leads_junk",
        "leads_converted",
        "leads_qualified",
        "leads_with_deal",
        "leads_with_won",
        "requests_answered",
        "leads_closed",
        "request_to_won_days_sum",
    )
    cells = _table((*counts, "response_seconds", "close_seconds"), ("revenue",))
    responses = Responses(facts)
    for lead in facts.leads.values():
        key = facts.clock.day(lead.created_at), lead.channel_key, lead.utm_campaign, lead.manager_key
        _add_lead(cells[key], facts, responses, lead)
    return [
        {
            "date_day": day,
            "channel_key": channel,
            "utm_campaign": campaign,
            "manager_key": manager,
            **{name: cell[name] for name in (*counts, "revenue")},
            "first_response_minutes_sum": two_digits(cell["response_seconds"], MINUTE),
            "lead_close_hours_sum": two_digits(cell["close_seconds"], HOUR),
            "junk_rate": ratio(cell["leads_junk"], cell["leads"]),
            "qualified_rate": ratio(cell["leads_qualified"], cell["leads"]),
            "lead_to_deal": ratio(cell["leads_with_deal"], cell["leads"]),
            "lead_to_won": ratio(cell["leads_with_won"], cell["leads"]),
        }
        for (day, channel, campaign, manager), cell in cells.items()
    ]


def _add_lead(cell: Cell, facts: Facts, responses: Responses, lead: Lead) -> None:
    deals = facts.deals_by_lead.get(lead.id, [])
    won = sorted(deal.closed_date for deal in deals if deal.is_won and deal.closed_date)
    cell["leads"] += 1
    cell["leads_repeat"] += lead.is_repeat
    cell[f"leads_{lead.outcome}"] += 1
    cell["leads_qualified"] += lead.is_qualified
    cell["leads_with_deal"] += bool(deals)
    cell["leads_with_won"] += any(deal.is_won for deal in deals)
    cell["revenue"] += sum((deal.revenue_rc for deal in deals), ZERO)
    seconds = responses.seconds(lead)
    if seconds is not None:
        cell["requests_answered"] += 1
        cell["response_seconds"] += seconds
    if lead.closed_at:
        cell["leads_closed"] += 1
        cell["close_seconds"] += int((lead.closed_at - lead.created_at).total_seconds())
    if won:
        cell["request_to_won_days_sum"] += (won[0] - facts.clock.day(lead.created_at)).days


def loss_analysis(facts: Facts) -> list[MartRow]:
    """From which stage and why deals and leads are lost."""
    cells = _table(("deals_lost", "days_to_loss_sum"), ("lost_amount",))
    for deal in facts.deals.values():
        if deal.is_lost and deal.closed_date:
            reason = deal.loss_reason or facts.order.name(deal.pipeline_key, deal.stage_id)
            key = (deal.pipeline_key, _lost_from(facts, deal.pipeline_key, deal.stays), deal.stage_id, reason)
            who = deal.manager_key, deal.last_touch[0]
            _add_loss(cells["deal", first_of_month(deal.closed_date), *key, *who], deal, deal.cycle_days)
    for lead in facts.leads.values():
        if lead.is_junk and lead.closed_at:
            reason = lead.loss_reason or facts.order.name(LEADS, lead.status_id)
            key = (LEADS, _lost_from(facts, LEADS, lead.stays), lead.status_id, reason)
            who = lead.manager_key, lead.channel_key
            days = (facts.clock.day(lead.closed_at) - facts.clock.day(lead.created_at)).days
            _add_loss(cells["lead", facts.clock.month(lead.closed_at), *key, *who], lead, days)
    return [
        {
            "entity": entity,
            "period_month": month,
            "pipeline_key": max(pipeline, 0),
            "lost_from_stage": lost_from,
            "stage_id": stage,
            "loss_reason": reason,
            "manager_key": manager,
            "channel_key": channel,
            **cell,
        }
        for (entity, month, pipeline, lost_from, stage, reason, manager, channel), cell in cells.items()
        if month <= facts.clock.running_month
    ]


def _lost_from(facts: Facts, pipeline: int, stays: list[Stay]) -> str:
    at = [stay.position for stay in stays if stay.pipeline_key == pipeline and stay.semantics == "P" and stay.position]
    return facts.order.paths.get(pipeline, {}).get(at[-1] if at else 1, UNKNOWN)


def _add_loss(cell: Cell, lost: Deal | Lead, days: int) -> None:
    cell["deals_lost"] += 1
    cell["lost_amount"] += lost.amount_rc or ZERO
    cell["days_to_loss_sum"] += days
