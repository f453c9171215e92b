"""First and last touch of leads and deals (3.4)."""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from .channels import UNKNOWN
from .facts import DEAL, LEAD, UNKNOWN_CLIENT, Deal, Facts, Lead

Attribution = tuple[tuple[str, str], tuple[str, str]]  # (channel, campaign) of the first and of the last touch


@dataclass(frozen=True, order=True)
class Touch:
    """One contact with a client; sorts by time, leads before deals, then by id."""

    created_at: datetime
    kind: int
    id: int
    channel_key: str = ""
    utm_campaign: str = ""


def _touch(kind: int, element: Lead | Deal) -> Touch:
    return Touch(element.created_at, kind, element.id, element.channel_key, element.utm_campaign)


class Touches:
    """Every client's leads and deals in order."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._window = timedelta(hours=24 * facts.settings.attribution_window_days)
        self._by_client: dict[str, list[Touch]] = defaultdict(list)
        for kind, elements in ((LEAD, facts.leads), (DEAL, facts.deals)):
            for element in elements.values():
                if element.client_key != UNKNOWN_CLIENT:
                    self._by_client[element.client_key].append(_touch(kind, element))
        for touches in self._by_client.values():
            touches.sort()

    def _earlier(self, own: Touch, client_key: str) -> list[Touch]:
        known = self._by_client.get(client_key, [])
        since = bisect_left(known, own.created_at - self._window, key=lambda touch: touch.created_at)
        return known[since : bisect_left(known, own)]

    def of_lead(self, lead: Lead) -> Attribution:
        """The lead and what its client did before."""
        own = _touch(LEAD, lead)
        return _ends(_known({*self._earlier(own, lead.client_key), own}))

    def path(self, deal: Deal) -> list[Touch]:
        """The deal, its lead whenever created, and what its client did before, in order."""
        own = _touch(DEAL, deal)
        touches = {*self._earlier(own, deal.client_key), own}
        if lead := self._facts.leads.get(deal.lead_id or 0):
            touches.add(_touch(LEAD, lead))
        return _known(touches)

    def of_deal(self, deal: Deal) -> Attribution:
        """Both ends of its path."""
        return _ends(self.path(deal))


def _known(touches: set[Touch]) -> list[Touch]:
    return sorted(touch for touch in touches if touch.channel_key != UNKNOWN) or sorted(touches)


def _ends(touches: list[Touch]) -> Attribution:
    first, last = touches[0], touches[-1]
    return (first.channel_key, first.utm_campaign), (last.channel_key, last.utm_campaign)


def attribute_deals(facts: Facts) -> None:
    """Write first and last touch into every deal."""
    touches = Touches(facts)
    for deal in facts.deals.values():
        deal.first_touch, deal.last_touch = touches.of_deal(deal)
