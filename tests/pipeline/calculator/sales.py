"""Marts `channel_roi` and `sales_dynamics` (3.4, 3.7)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from .attribution import Touches
from .channels import NOT_ALLOCATED
from .facts import Deal, Facts, Lead, Receipt, Spend
from .values import ZERO, add_months, as_money, cost_per, first_of_month, ratio, whole_total

MartRow = dict[str, Any]
Cell = dict[str, Any]

MODELS = ("first_touch", "last_touch")
BASES = ("cohort", "event")
MARKETING = ("ad", "other_marketing")
ACTIONS = {"deal": "deals", "lead_qualified": "leads_qualified", "deal_won": "deals_won"}

_COUNTS = (
    "impressions",
    "clicks",
    "leads",
    "leads_repeat",
    "leads_qualified",
    "leads_junk",
    "leads_with_deal",
    "leads_with_won",
    "deals",
    "deals_won",
    "deals_lost",
    "new_clients",
)

Key = tuple[str, str, date, str, str]


def _empty() -> Cell:
    return {**dict.fromkeys(_COUNTS, 0), "spend": ZERO, "revenue": ZERO, "profits": []}


def channel_roi(facts: Facts, spend: Iterable[Spend]) -> list[MartRow]:
    """Costs and results of channels under both attribution models and both date bases."""
    cells: dict[Key, Cell] = defaultdict(_empty)
    touches = Touches(facts)
    for item in spend:
        if item.cost_type in MARKETING:
            _add_spend(cells, item)
    for lead in facts.leads.values():
        for model, touch in zip(MODELS, touches.of_lead(lead), strict=True):
            _add_lead(cells, facts, lead, model, touch)
    for deal in facts.deals.values():
        for model, touch in zip(MODELS, (deal.first_touch, deal.last_touch), strict=True):
            _add_deal(cells, facts, deal, model, touch)
    for receipt in facts.receipts:
        for model, touch in zip(MODELS, (receipt.deal.first_touch, receipt.deal.last_touch), strict=True):
            _add_receipt(cells, facts, receipt, model, touch)
    _add_requests(cells, facts.deals_without_lead)
    cells = {key: cell for key, cell in cells.items() if key[2] <= facts.clock.running_month}
    return _roi_rows(cells, facts.settings.cpa_action)


def _add_receipt(cells: dict[Key, Cell], facts: Facts, receipt: Receipt, model: str, touch: tuple[str, str]) -> None:
    assert receipt.deal.acquisition_at
    acquired = facts.clock.month(receipt.deal.acquisition_at)
    for basis, month in zip(BASES, (acquired, first_of_month(receipt.day)), strict=True):
        cells[model, basis, month, *touch]["revenue"] += receipt.amount_rc


def _add_requests(cells: dict[Key, Cell], deals: Iterable[Deal]) -> None:
    for deal in deals:
        for model, touch in zip(MODELS, (deal.first_touch, deal.last_touch), strict=True):
            for basis in BASES:
                _add_request(cells[model, basis, first_of_month(deal.created_date), *touch], deal)


def _add_request(cell: Cell, deal: Deal) -> None:
    """A deal without a lead is a request that has led to itself."""
    cell["leads"] += 1
    cell["leads_repeat"] += deal.is_repeat
    cell["leads_qualified"] += 1
    cell["leads_with_deal"] += 1
    cell["leads_with_won"] += deal.is_won


def _add_spend(cells: dict[Key, Cell], item: Spend) -> None:
    month, channel = first_of_month(item.spend_date), item.channel_key or NOT_ALLOCATED
    for model in MODELS:
        for basis in BASES:
            cell = cells[model, basis, month, channel, item.utm_campaign]
            cell["spend"] += item.cost_rc or ZERO
            cell["impressions"] += item.impressions
            cell["clicks"] += item.clicks


def _add_lead(cells: dict[Key, Cell], facts: Facts, lead: Lead, model: str, touch: tuple[str, str]) -> None:
    deals = facts.deals_by_lead.get(lead.id, [])
    for basis in BASES:
        cell = cells[model, basis, facts.clock.month(lead.created_at), *touch]
        cell["leads"] += 1
        cell["leads_repeat"] += lead.is_repeat
        cell["leads_qualified"] += lead.is_qualified
        cell["leads_junk"] += lead.outcome == "junk"
        cell["leads_with_deal"] += bool(deals)
        cell["leads_with_won"] += any(deal.is_won for deal in deals)


def _add_deal(cells: dict[Key, Cell], facts: Facts, deal: Deal, model: str, touch: tuple[str, str]) -> None:
    assert deal.acquisition_at
    acquired = facts.clock.month(deal.acquisition_at)
    for basis in BASES:
        created = acquired if basis == "cohort" else first_of_month(deal.created_date)
        cells[model, basis, created, *touch]["deals"] += 1
        if deal.closed_date is None:
            continue
        cell = cells[model, basis, acquired if basis == "cohort" else first_of_month(deal.closed_date), *touch]
        cell["deals_lost"] += deal.is_lost
        cell["deals_won"] += deal.is_won
        cell["new_clients"] += deal.won_number == 1
        if deal.is_won:
            cell["profits"].append(deal.gross_profit_rc)


def _roi_rows(cells: Mapping[Key, Cell], cpa_action: str) -> list[MartRow]:
    totals: dict[tuple[str, str, date], Cell] = defaultdict(_empty)
    by_channel: dict[tuple[str, str, date, str], Cell] = defaultdict(_empty)
    for (model, basis, month, channel, _), cell in cells.items():
        for summed in (totals[model, basis, month], by_channel[model, basis, month, channel]):
            for measure in ("spend", "leads", "deals_won"):
                summed[measure] += cell[measure]
    return [
        {
            "attribution_model": key[0],
            "date_basis": key[1],
            "period_month": key[2],
            "channel_key": key[3],
            "utm_campaign": key[4],
            **_measures(cell, cpa_action),
            "spend_share": ratio(cell["spend"], totals[key[:3]]["spend"]),
            "leads_share": ratio(cell["leads"], totals[key[:3]]["leads"]),
            "zero_conversion_months": _months_without_sales(by_channel, key) if key[1] == "event" else None,
        }
        for key, cell in cells.items()
    ]


def _measures(cell: Cell, cpa_action: str) -> MartRow:
    spend, revenue = as_money(cell["spend"]), as_money(cell["revenue"])
    gross_profit = whole_total(cell["profits"])
    return {
        "spend": spend,
        **{count: cell[count] for count in _COUNTS},
        "revenue": revenue,
        "gross_profit": gross_profit,
        "ctr": ratio(cell["clicks"], cell["impressions"]),
        "cpc": cost_per(spend, cell["clicks"]),
        "cpl": cost_per(spend, cell["leads"]),
        "cpql": cost_per(spend, cell["leads_qualified"]),
        "cpa": cost_per(spend, cell[ACTIONS[cpa_action]]),
        "cpo": cost_per(spend, cell["deals_won"]),
        "cac": cost_per(spend, cell["new_clients"]),
        "lead_to_deal": ratio(cell["leads_with_deal"], cell["leads"]),
        "lead_to_won": ratio(cell["leads_with_won"], cell["leads"]),
        "romi": ratio(revenue - spend, spend),
        "roi": ratio(None if gross_profit is None else gross_profit - spend, spend),
        "roas": ratio(revenue, spend),
        "cost_revenue_ratio": ratio(spend, revenue),
    }


def _months_without_sales(by_channel: Mapping[tuple[str, str, date, str], Cell], key: Key) -> int:
    model, basis, month, channel, _ = key
    length = 0
    while (cell := by_channel.get((model, basis, month, channel))) and cell["spend"] > 0 and not cell["deals_won"]:
        length += 1
        month = add_months(month, -1)
    return length


def _no_sales() -> Cell:
    counts = dict.fromkeys(("deals_created", "deals_won", "deals_lost", "cycle_days_sum"), 0)
    sums = dict.fromkeys(("amount_created", "revenue", "lost_amount", "discount_amount"), ZERO)
    return {**counts, **sums, "gross_profit": []}


def sales_dynamics(facts: Facts) -> list[MartRow]:
    """Created, won and lost deals by day."""
    cells: dict[tuple[Any, ...], Cell] = defaultdict(_no_sales)
    for deal in facts.deals.values():

        def cell(day: date, deal: Deal = deal) -> Cell:
            return cells[day, deal.pipeline_key, deal.manager_key, deal.last_touch[0], deal.is_repeat_sale]

        created = cell(deal.created_date)
        created["deals_created"] += 1
        created["amount_created"] += deal.amount_rc or ZERO
        if deal.closed_date is None:
            continue
        closed = cell(deal.closed_date)
        if deal.is_won:
            closed["deals_won"] += 1
            closed["cycle_days_sum"] += deal.cycle_days
            closed["discount_amount"] += deal.discount_rc
            closed["gross_profit"].append(deal.gross_profit_rc)
        else:
            closed["deals_lost"] += 1
            closed["lost_amount"] += deal.amount_rc or ZERO
    for receipt in facts.receipts:
        deal = receipt.deal
        key = receipt.day, deal.pipeline_key, deal.manager_key, deal.last_touch[0], deal.is_repeat_sale
        cells[key]["revenue"] += receipt.amount_rc
    return [
        {
            "date_day": day,
            "pipeline_key": pipeline,
            "manager_key": manager,
            "channel_key": channel,
            "is_repeat_sale": is_repeat_sale,
            **measures,
            "gross_profit": whole_total(measures["gross_profit"]),
        }
        for (day, pipeline, manager, channel, is_repeat_sale), measures in cells.items()
        if first_of_month(day) <= facts.clock.running_month
    ]
