"""How long open deals have been left alone (3.9)."""

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from statistics import median

from .facts import Deal, Facts

STALE_DAYS, STALE_MULTIPLIER = 14, 3
SAMPLE = timedelta(days=365)
DAY = 86_400


class Idleness:
    """Idle days of open deals against the usual time in their stages."""

    def __init__(self, facts: Facts) -> None:
        self._clock = facts.clock
        as_of = facts.clock.as_of
        samples: dict[tuple[int, str], list[int]] = defaultdict(list)
        for deal in facts.deals.values():
            for stay in deal.stays:
                if stay.left_at and as_of - SAMPLE < stay.left_at <= as_of:
                    samples[stay.pipeline_key, stay.stage_id].append(stay.seconds or 0)
        self._limits = {stage: STALE_MULTIPLIER * Fraction(median(times)) / DAY for stage, times in samples.items()}

    def idle_days(self, deal: Deal) -> int | None:
        """Days since the deal moved or anything happened to it."""
        moments = [deal.stays[-1].entered_at if deal.stays else deal.moved_at, deal.last_activity_at]
        known = [moment for moment in moments if moment]
        return (self._clock.today - self._clock.day(max(known))).days if known else None

    def is_stale(self, deal: Deal) -> bool:
        """Open and idle for longer than its stage explains."""
        idle_days = self.idle_days(deal) if deal.is_open else None
        limit = max(STALE_DAYS, self._limits.get((deal.pipeline_key, deal.stage_id), 0))
        return idle_days is not None and idle_days > limit
