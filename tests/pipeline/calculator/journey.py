"""Mart `deal_journey` (3.26)."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from .attribution import Touches
from .facts import DEAL, EMAIL, MEETING, Deal, Facts, Lead
from .idle import DAY, Idleness
from .responses import Responses
from .values import two_digits

MartRow = dict[str, Any]

ARROW = " > "
MINUTE = 60


def deal_journey(facts: Facts) -> list[MartRow]:
    """Every deal from its first touch to its end."""
    touches, idleness = Touches(facts), Idleness(facts)
    responses = Responses(facts)
    contacts = _contacts(facts)
    asked = {deal.id: deal for deal in facts.deals_without_lead}
    rows = []
    for deal in facts.deals.values():
        lead = facts.leads.get(deal.lead_id or 0)
        path = [touch.channel_key for touch in touches.path(deal)]
        stages = [facts.order.name(stay.pipeline_key, stay.stage_id) for stay in deal.stays]
        rows.append(
            {
                "deal_id": deal.id,
                "pipeline_key": deal.pipeline_key,
                "manager_key": deal.manager_key,
                "client_key": deal.client_key,
                "first_touch_channel_key": deal.first_touch[0],
                "last_touch_channel_key": deal.last_touch[0],
                "touch_path": ARROW.join(path),
                "touches_count": len(path),
                "stage_path": ARROW.join(stages) or None,
                "lead_id": deal.lead_id,
                "lead_created_at": lead.created_at if lead else None,
                "first_response_minutes": _response_minutes(responses, lead or asked.get(deal.id)),
                "created_at": deal.created_at,
                **contacts[deal.id],
                **_times(facts, deal, lead),
                "closed_at": deal.closed_at,
                "outcome": deal.outcome,
                "amount_rc": deal.amount_rc,
                "revenue_rc": deal.revenue_rc,
                "is_stale": idleness.is_stale(deal),
                "reopen_count": deal.reopen_count,
                "skipped_stages": sum(stay.skipped_count for stay in deal.stays),
            }
        )
    return rows


def _response_minutes(responses: Responses, request: Lead | Deal | None) -> float | None:
    return two_digits(responses.seconds(request), MINUTE) if request else None


def _contacts(facts: Facts) -> dict[int, dict[str, int]]:
    """Calls, letters and meetings bound to each deal."""
    counts: dict[int, dict[str, int]] = defaultdict(lambda: {"calls_count": 0, "emails_count": 0, "meetings_count": 0})
    cards = {activity.id: activity for activity in facts.activities}
    for call in facts.calls:
        card = cards.get(call.activity_id or 0)
        owners = (card.bindings if card else frozenset()) | ({call.entity} if call.entity else set())
        for kind, number in owners:
            if kind == DEAL:
                counts[number]["calls_count"] += 1
    for activity in facts.activities:
        column = {EMAIL: "emails_count", MEETING: "meetings_count"}.get(activity.type_id)
        for kind, number in activity.bindings:
            if kind == DEAL and column:
                counts[number][column] += 1
    return counts


def _times(facts: Facts, deal: Deal, lead: Lead | None) -> MartRow:
    won_date = deal.closed_date if deal.is_won else None
    asked: datetime = lead.created_at if lead else deal.created_at
    since = deal.stays[-1].entered_at if deal.stays else deal.moved_at
    in_stage = int((facts.clock.as_of - since).total_seconds()) if since and deal.is_open else None
    return {
        "cycle_days": deal.cycle_days if won_date else None,
        "request_to_won_days": (won_date - facts.clock.day(asked)).days if won_date else None,
        "days_in_stage": two_digits(in_stage, DAY),
    }
