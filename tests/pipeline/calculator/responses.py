"""First responses to leads (D12)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from functools import cached_property

from .facts import (
    BORN_FROM_CALL,
    CALL,
    DEAL,
    LEAD,
    UNKNOWN_CLIENT,
    Activity,
    Call,
    Deal,
    Facts,
    Lead,
    Owner,
    is_workday,
)
from .values import Clock

OPENS, CLOSES = time(9), time(18)


class Responses:
    """Calls and activities by the element they are bound to."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._deals_by_lead = facts.deals_by_lead
        self._cards = {activity.id: activity for activity in facts.activities}
        self._calls: dict[Owner, list[Call]] = defaultdict(list)
        self._calls_by_phone: dict[str, list[Call]] = defaultdict(list)
        self._activities: dict[Owner, list[Activity]] = defaultdict(list)
        self._vain_cards = {call.activity_id for call in facts.calls if not call.is_connected}
        for call in facts.calls:
            for owner in self._bindings(call):
                self._calls[owner].append(call)
            if call.phone:
                self._calls_by_phone[call.phone].append(call)
        for activity in facts.activities:
            for owner in activity.bindings:
                self._activities[owner].append(activity)

    def _bound_calls(self, request: Lead | Deal, owners: list[Owner]) -> list[Call]:
        calls = [call for owner in owners for call in self._calls.get(owner, [])]
        phones = request.phones if isinstance(request, Lead) else ()
        return calls + [call for phone in phones for call in self._calls_by_phone.get(phone, [])]

    def birth_call(self, request: Lead | Deal) -> Call | None:
        """The connected incoming call a request was born from, the earliest of several."""
        kind = LEAD if isinstance(request, Lead) else DEAL
        calls = [
            call
            for call in self._bound_calls(request, [(kind, request.id)])
            if call.direction == "in"
            and call.is_connected
            and request.created_at - BORN_FROM_CALL <= call.started_at <= request.created_at
        ]
        return min(calls, key=lambda call: call.started_at, default=None)

    def first_response_at(self, request: Lead | Deal) -> datetime | None:
        """When somebody first turned to the client; the creation itself if it was a talk."""
        if self.birth_call(request):
            return request.created_at
        owners: list[Owner] = [(DEAL, request.id)]
        if isinstance(request, Lead):
            owners = [(LEAD, request.id), *((DEAL, deal.id) for deal in self._deals_by_lead.get(request.id, []))]
        activities = [activity for owner in owners for activity in self._activities.get(owner, [])]
        moments = self._answers(self._bound_calls(request, owners), activities)
        return min((moment for moment in moments if moment >= request.created_at), default=None)

    def _is_vain(self, activity: Activity) -> bool:
        """The card of a call that reached nobody."""
        return activity.type_id == CALL and activity.id in self._vain_cards

    def seconds(self, request: Lead | Deal) -> int | None:
        """How long the client waited, by the clock or in working time; None without an answer."""
        answered_at = self.first_response_at(request)
        return None if answered_at is None else self.wait(request.created_at, answered_at)

    def wait(self, since: datetime, until: datetime) -> int:
        """Seconds from one moment to another, all of them or those of working time."""
        if self._facts.settings.response_clock == "working":
            return working_seconds(since, until, self._facts.clock, self._facts.changed_days)
        return int((until - since).total_seconds())

    def first_to(self, card: Owner, client_key: str, since: datetime) -> datetime | None:
        """When somebody first turned to the client of a ticket, or answered on its card."""
        calls, activities = self._of_client[client_key] if client_key != UNKNOWN_CLIENT else ([], [])
        moments = self._answers([*self._calls.get(card, []), *calls], [*self._activities.get(card, []), *activities])
        return min((moment for moment in moments if moment >= since), default=None)

    @cached_property
    def _of_client(self) -> dict[str, tuple[list[Call], list[Activity]]]:
        found: dict[str, tuple[list[Call], list[Activity]]] = defaultdict(lambda: ([], []))
        for call in self._facts.calls:
            found[self._facts.client_of(call.entity)][0].append(call)
        for activity in self._facts.activities:
            found[self._facts.client_of(activity.owner)][1].append(activity)
        return found

    def _answers(self, calls: Iterable[Call], activities: Iterable[Activity]) -> list[datetime]:
        needs_talk = self._facts.settings.first_response_requires_connect
        moments = [
            call.started_at for call in calls if call.direction == "out" and (call.is_connected or not needs_talk)
        ]
        for activity in activities:
            if activity.is_response and activity.started_at and not (needs_talk and self._is_vain(activity)):
                moments.append(activity.started_at)
            if activity.session_id in self._facts.chats:
                moments += self._facts.chats[activity.session_id].answers
        return moments

    def _bindings(self, call: Call) -> frozenset[Owner]:
        card = self._cards.get(call.activity_id or 0)
        own = frozenset({call.entity}) if call.entity else frozenset()
        return own | (card.bindings if card else frozenset())


def working_seconds(since: datetime, until: datetime, clock: Clock, changed_days: Mapping[date, bool]) -> int:
    """Seconds between two moments that lie from 09:00 to 18:00 of workdays, by the clock on the wall."""
    begin, end = (moment.astimezone(clock.zone).replace(tzinfo=None) for moment in (since, until))
    day, total = begin.date(), timedelta()
    while day <= end.date():
        if is_workday(day, changed_days):
            opens, closes = datetime.combine(day, OPENS), datetime.combine(day, CLOSES)
            total += max(min(end, closes) - max(begin, opens), timedelta())
        day += timedelta(days=1)
    return int(total.total_seconds())
