"""First responses to leads (D12)."""

from collections import defaultdict
from datetime import datetime

from .facts import BORN_FROM_CALL, DEAL, LEAD, Activity, Call, Facts, Lead, Owner


class Responses:
    """Calls and activities by the element they are bound to."""

    def __init__(self, facts: Facts) -> None:
        self._deals_by_lead = facts.deals_by_lead
        cards = {activity.id: activity for activity in facts.activities}
        self._calls: dict[Owner, list[Call]] = defaultdict(list)
        self._calls_by_phone: dict[str, list[Call]] = defaultdict(list)
        self._activities: dict[Owner, list[Activity]] = defaultdict(list)
        for call in facts.calls:
            card = cards.get(call.activity_id or 0)
            bindings = card.bindings if card else frozenset()
            for owner in bindings | ({call.entity} if call.entity else set()):
                self._calls[owner].append(call)
            if call.phone:
                self._calls_by_phone[call.phone].append(call)
        for activity in facts.activities:
            for owner in activity.bindings:
                self._activities[owner].append(activity)

    def _bound_calls(self, lead: Lead, owners: list[Owner]) -> list[Call]:
        calls = [call for owner in owners for call in self._calls.get(owner, [])]
        return calls + [call for phone in lead.phones for call in self._calls_by_phone.get(phone, [])]

    def birth_call(self, lead: Lead) -> Call | None:
        """The connected incoming call a lead was born from, the earliest of several."""
        calls = [
            call
            for call in self._bound_calls(lead, [(LEAD, lead.id)])
            if call.direction == "in"
            and call.is_connected
            and lead.created_at - BORN_FROM_CALL <= call.started_at <= lead.created_at
        ]
        return min(calls, key=lambda call: call.started_at, default=None)

    def first_response_at(self, lead: Lead) -> datetime | None:
        """When somebody first turned to the client; the creation itself if it was a talk."""
        if self.birth_call(lead):
            return lead.created_at
        owners = [(LEAD, lead.id), *((DEAL, deal.id) for deal in self._deals_by_lead.get(lead.id, []))]
        moments = [call.started_at for call in self._bound_calls(lead, owners) if call.direction == "out"]
        moments += [
            activity.started_at
            for owner in owners
            for activity in self._activities.get(owner, [])
            if activity.is_response and activity.started_at
        ]
        return min((moment for moment in moments if moment >= lead.created_at), default=None)
