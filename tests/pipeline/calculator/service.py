"""Mart `service_quality` (3.24) and the tickets and answers behind it (2.5)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from .channels import UNKNOWN
from .facts import DEAL, NO_MANAGER, UNKNOWN_CLIENT, Facts, Labels
from .items import Item
from .responses import Responses
from .values import Clock, Row, add_months, median, ratio, reference, two_digits, whole

MartRow = dict[str, Any]

NO_TOPIC = "Не определено"
FCR_WINDOW = timedelta(days=7)
GOOD, PROMOTER, PASSIVE = 4, 9, 7  # the lowest marks of each kind
HOUR, MINUTE = 3600, 60


@dataclass
class Ticket:
    """A request to support; declined ones are closed, not resolved."""

    key: str
    source_type: str
    client_key: str
    manager_key: int
    topic: str
    created_at: datetime
    response_seconds: int | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reopen_count: int = 0
    is_fcr: bool = False


@dataclass(frozen=True)
class _Source:
    """A line of support_sources.csv."""

    kind: str
    entity_type_id: int | None
    pipeline_key: int | None
    topics: Labels

    def holds(self, kind: str, entity_type_id: int | None = None, pipeline_key: int | None = None) -> bool:
        """Whether a ticket is of it; a line without a pipeline is about all of them."""
        return (
            self.kind == kind
            and self.entity_type_id in {None, entity_type_id}
            and self.pipeline_key in {None, pipeline_key}
        )


def read_tickets(truth: Mapping[str, Any], facts: Facts, items: Iterable[Item], sources: Iterable[Row]) -> list[Ticket]:
    """Items, deals and sessions that the file calls requests."""
    known = [
        _Source(
            row["source_type"],
            reference(row.get("entity_type_id")),
            whole(row["pipeline_key"]) if row.get("pipeline_key") else None,
            Labels(truth, row.get("topic_field")),
        )
        for row in sorted(sources, key=lambda row: not row.get("pipeline_key"))  # the more exact line first
    ]
    responses = Responses(facts)
    tickets = [*_processes(items, known, responses), *_pipelines(facts, known, responses)]
    if any(source.kind == "openline" for source in known):
        tickets += _open_lines(facts, responses)
    by_client: dict[tuple[str, str], list[Ticket]] = defaultdict(list)
    for ticket in tickets:
        by_client[ticket.client_key, ticket.topic].append(ticket)
    for ticket in tickets:
        others = by_client[ticket.client_key, ticket.topic] if ticket.client_key != UNKNOWN_CLIENT else []
        solved = ticket.resolved_at
        ticket.is_fcr = (
            solved is not None
            and not ticket.reopen_count
            and not any(solved < other.created_at <= solved + FCR_WINDOW for other in others if other is not ticket)
        )
    return tickets


def _processes(items: Iterable[Item], sources: Sequence[_Source], responses: Responses) -> Iterator[Ticket]:
    for item in items:
        source = next((s for s in sources if s.holds("process", item.entity_type_id, item.pipeline_key)), None)
        if source:
            owner = item.entity_type_id, item.id
            yield Ticket(
                f"process_{item.entity_type_id}_{item.id}",
                "process",
                item.client_key,
                item.manager_key,
                source.topics.of(item.row) or NO_TOPIC,
                item.created_at,
                _wait(responses, item.created_at, responses.first_to(owner, item.client_key, item.created_at)),
                item.closed_at if item.outcome == "done" else None,
                item.closed_at,
                sum(stay.is_reopen for stay in item.stays),
            )


def _pipelines(facts: Facts, sources: Sequence[_Source], responses: Responses) -> Iterator[Ticket]:
    for deal in facts.deals.values():
        source = next((s for s in sources if s.holds("pipeline", None, deal.pipeline_key)), None)
        if source:
            answered_at = responses.first_to((DEAL, deal.id), deal.client_key, deal.created_at)
            yield Ticket(
                f"pipeline_{deal.id}",
                "pipeline",
                deal.client_key,
                deal.manager_key,
                source.topics.of(deal.row) or NO_TOPIC,
                deal.created_at,
                _wait(responses, deal.created_at, answered_at),
                deal.closed_at if deal.is_won else None,
                deal.closed_at,
                deal.reopen_count,
            )


def _open_lines(facts: Facts, responses: Responses) -> Iterator[Ticket]:
    """Chats; one is resolved when its activity is completed, not before its last message."""
    told = set()
    for activity in sorted(facts.activities, key=lambda activity: activity.id):
        number = activity.session_id
        if number is None or number not in facts.chats or number in told:
            continue
        told.add(number)
        chat = facts.chats[number]
        if not chat.moments:
            continue
        asked_at = min(chat.moments)
        solved_at = max(activity.completed_at, *chat.moments) if activity.completed_at else None
        yield Ticket(
            f"openline_{number}",
            "openline",
            facts.client_of(activity.owner),
            activity.manager_key,
            NO_TOPIC,
            asked_at,
            _wait(responses, asked_at, min(chat.answers, default=None)),
            solved_at,
            solved_at,
        )


def _wait(responses: Responses, since: datetime, until: datetime | None) -> int | None:
    return None if until is None else responses.wait(since, until)


def service_quality(facts: Facts, tickets: Iterable[Ticket], answers: Iterable[Row]) -> list[MartRow]:
    """Requests by the month they came in, with all that became of them, and marks by the month of the answer."""
    board = _Board(facts.clock)
    by_key = {}
    for ticket in tickets:
        by_key[ticket.key] = ticket
        board.add_ticket(ticket)
    for answer in answers:
        board.add_answer(answer, by_key.get(answer.get("ticket_id") or ""), facts)
    return board.rows()


class _Board:
    """Lists of seconds and marks, and counts, by month, source, manager and topic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cells: dict[tuple[date, str, int, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))

    def add_ticket(self, ticket: Ticket) -> None:
        clock, created = self._clock, self._clock.month(ticket.created_at)

        def add(month: date, measure: str, value: int = 1) -> None:
            self._cells[month, ticket.source_type, ticket.manager_key, ticket.topic][measure].append(value)

        add(created, "created")
        if ticket.response_seconds is not None:
            add(created, "responses", ticket.response_seconds)
        if ticket.reopen_count:
            add(created, "reopened")
        if ticket.resolved_at:
            add(clock.month(ticket.resolved_at), "resolved")
            add(created, "resolutions", int((ticket.resolved_at - ticket.created_at).total_seconds()))
            if ticket.resolved_at <= clock.as_of - FCR_WINDOW:
                add(created, "fcr", int(ticket.is_fcr))
        month = created
        while month <= clock.running_month:
            end = clock.end_of_period(month)
            if ticket.closed_at and ticket.closed_at < end:
                break
            if ticket.created_at < end:
                add(month, "open")
            month = add_months(month, 1)

    def add_answer(self, answer: Row, ticket: Ticket | None, facts: Facts) -> None:
        answered_at = self._clock.instant(answer["answered_at"])
        assert answered_at
        deal = facts.deals.get(reference(answer.get("deal_id")) or 0)
        manager = reference(answer.get("manager_key"))
        manager = manager or (ticket.manager_key if ticket else deal.manager_key if deal else NO_MANAGER)
        place = (ticket.source_type, manager, ticket.topic) if ticket else (UNKNOWN, manager, NO_TOPIC)
        self._cells[self._clock.month(answered_at), *place][answer["survey"]].append(whole(answer["score"]))

    def rows(self) -> list[MartRow]:
        names = ("period_month", "source_type", "manager_key", "topic")
        return [
            {**dict(zip(names, key, strict=True)), **_measures(cell)}
            for key, cell in self._cells.items()
            if key[0] <= self._clock.running_month
        ]


def _measures(cell: Mapping[str, list[int]]) -> MartRow:
    def of(measure: str) -> list[int]:
        return cell.get(measure, [])

    positive = sum(mark >= GOOD for mark in of("csat"))
    promoters, detractors = sum(mark >= PROMOTER for mark in of("nps")), sum(mark < PASSIVE for mark in of("nps"))
    return {
        "tickets_created": len(of("created")),
        "tickets_resolved": len(of("resolved")),
        "tickets_open_eop": len(of("open")),
        "answered": len(of("responses")),
        "first_response_minutes_sum": two_digits(sum(of("responses")), MINUTE),
        "first_response_minutes_median": median(of("responses"), MINUTE),
        "resolved_cohort": len(of("resolutions")),
        "resolution_hours_sum": two_digits(sum(of("resolutions")), HOUR),
        "resolution_hours_median": median(of("resolutions"), HOUR),
        "fcr_base": len(of("fcr")),
        "fcr_tickets": sum(of("fcr")),
        "fcr_rate": ratio(sum(of("fcr")), len(of("fcr"))),
        "reopened": len(of("reopened")),
        "csat_answers": len(of("csat")),
        "csat_positive": positive,
        "csat": ratio(positive, len(of("csat"))),
        "nps_answers": len(of("nps")),
        "promoters": promoters,
        "detractors": detractors,
        "nps": ratio(promoters - detractors, len(of("nps"))),
    }
