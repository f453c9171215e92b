"""Mart `revenue_forecast` (3.9)."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import ceil
from statistics import median
from typing import Any

from .facts import Deal, Facts
from .funnel import Progress
from .idle import DAY, Idleness
from .values import ZERO, first_of_month, rounded

MartRow = dict[str, Any]

MIN_SAMPLE = 20
SAMPLE_DAYS = timedelta(days=365)
USUAL_DAYS = 30
PERCENT = 100


@dataclass(frozen=True)
class _Closed:
    """A closed deal of the last year and how far it came."""

    deal: Deal
    furthest: int


def revenue_forecast(facts: Facts) -> list[MartRow]:
    """Open deals with their chance of success and the day it is expected."""
    today = facts.clock.today
    closed: dict[int, list[_Closed]] = defaultdict(list)
    for deal in facts.deals.values():
        if deal.closed_date and today - SAMPLE_DAYS < deal.closed_date <= today:
            closed[deal.pipeline_key].append(_Closed(deal, Progress(deal, facts.order).furthest))
    idleness = Idleness(facts)
    return [
        _row(facts, idleness, deal, closed.get(deal.pipeline_key, [])) for deal in facts.deals.values() if deal.is_open
    ]


def _row(facts: Facts, idleness: Idleness, deal: Deal, of_pipeline: list[_Closed]) -> MartRow:
    furthest = Progress(deal, facts.order).furthest
    sample = [closed for closed in of_pipeline if closed.furthest >= furthest]
    probability, source = _probability(deal, sample, of_pipeline)
    expected = _expected(deal, sample, facts.clock.today)
    is_stale = idleness.is_stale(deal)
    is_counted = not is_stale and probability is not None and deal.amount_rc is not None
    return {
        "deal_id": deal.id,
        "pipeline_key": deal.pipeline_key,
        "stage_id": deal.stage_id,
        "manager_key": deal.manager_key,
        "channel_key": deal.last_touch[0],
        "client_key": deal.client_key,
        "expected_close_month": first_of_month(expected),
        "expected_close_date": expected,
        "amount_rc": deal.amount_rc,
        "win_probability": None if probability is None else float(rounded(probability, 4)),
        "probability_source": source,
        "idle_days": idleness.idle_days(deal),
        "is_stale": is_stale,
        "weighted_amount": rounded(Fraction(deal.amount_rc) * probability, 2) if is_counted else ZERO,
        "stale_amount": (deal.amount_rc or ZERO) if is_stale else ZERO,
        "deals_without_probability": int(probability is None),
    }


def _share_won(sample: list[_Closed]) -> Fraction | None:
    if len(sample) < MIN_SAMPLE:
        return None
    return Fraction(sum(closed.deal.is_won for closed in sample), len(sample))


def _probability(deal: Deal, sample: list[_Closed], of_pipeline: list[_Closed]) -> tuple[Fraction | None, str | None]:
    if (share := _share_won(sample)) is not None:
        return share, "stage"
    if deal.probability and deal.probability > 0:
        return Fraction(deal.probability, PERCENT), "field"
    if (share := _share_won(of_pipeline)) is not None:
        return share, "pipeline"
    return None, None


def _expected(deal: Deal, sample: list[_Closed], today: date) -> date:
    if deal.planned_close and deal.planned_close >= today:
        return deal.planned_close
    seconds = []
    for won in (closed.deal for closed in sample if closed.deal.is_won):
        entries = [
            stay.entered_at
            for stay in won.stays
            if (stay.pipeline_key, stay.stage_id) == (deal.pipeline_key, deal.stage_id)
        ]
        if entries and won.closed_at:
            seconds.append(int((won.closed_at - min(entries)).total_seconds()))
    days = ceil(Fraction(median(map(Fraction, seconds))) / DAY) if seconds else USUAL_DAYS
    return today + timedelta(days=days)
