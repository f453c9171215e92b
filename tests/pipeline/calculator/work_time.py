"""Mart `time_allocation` (3.19)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from .facts import COMPANY, CONTACT, DEAL, LEAD, MEETING, NO_MANAGER, Facts, Owner
from .values import Row, flag, ratio, reference, rows_of, text, two_digits, whole

MartRow = dict[str, Any]
Work = tuple[datetime, int, str, int]  # when it began, whose it is, its type, seconds

HOUR = 3600
_ELEMENTS = {"L": LEAD, "D": DEAL, "C": CONTACT, "CO": COMPANY}


def time_allocation(facts: Facts, truth: Mapping[str, Any]) -> list[MartRow]:
    """Hours of calls, meetings, tasks and working days by day and employee."""
    cells: dict[tuple[date, int, str], list[int]] = defaultdict(list)
    for work in (_calls(facts), _meetings(facts, truth), _tasks(facts), _workdays(facts, truth)):
        for began_at, manager_key, work_type, seconds in work:
            cells[facts.clock.day(began_at), manager_key, work_type].append(seconds)
    return [
        {
            "date_day": day,
            "manager_key": manager_key,
            "work_type": work_type,
            "hours": two_digits(sum(seconds), HOUR),
            "events": len(seconds),
            "workday_share": None
            if work_type == "workday"
            else ratio(sum(seconds), sum(cells.get((day, manager_key, "workday"), []))),
        }
        for (day, manager_key, work_type), seconds in cells.items()
        if day <= facts.clock.today
    ]


def _calls(facts: Facts) -> Iterator[Work]:
    for call in facts.calls:
        if call.is_connected:
            yield call.started_at, call.manager_key, "call", call.duration_seconds


def _meetings(facts: Facts, truth: Mapping[str, Any]) -> Iterator[Work]:
    """Meetings of calendars, each in the calendar of everyone who takes part, and those that only the CRM knows."""
    in_calendars: set[tuple[datetime, Owner]] = set()
    for event in rows_of(truth, "calendar_events"):
        began_at, ended_at = (_moment(event, f"date_{edge}_ts_utc") for edge in ("from", "to"))
        if event["cal_type"] != "user" or flag(event.get("deleted")) or flag(event.get("dt_skip_time")):
            continue
        if flag(event.get("is_meeting")):
            in_calendars |= {(began_at, element) for element in _elements(event)}
            if facts.counts(owner := reference(event["owner_id"])):
                yield began_at, owner or NO_MANAGER, "meeting", _seconds(began_at, ended_at)
    for activity in facts.activities:
        began_at_crm, ended_at_crm = activity.started_at, activity.ended_at
        if activity.type_id != MEETING or not began_at_crm or not ended_at_crm:
            continue
        if not any((began_at_crm, element) in in_calendars for element in activity.bindings):
            yield began_at_crm, activity.manager_key, "meeting", _seconds(began_at_crm, ended_at_crm)


def _tasks(facts: Facts) -> Iterator[Work]:
    for entry in facts.time_entries:
        yield entry.started_at, entry.manager_key, "task", entry.seconds


def _workdays(facts: Facts, truth: Mapping[str, Any]) -> Iterator[Work]:
    for record in rows_of(truth, "work_time_records"):
        began_at = facts.clock.instant(record.get("start_time"))
        if began_at and facts.counts(reference(record.get("user_id"))):
            yield began_at, reference(record.get("user_id")) or NO_MANAGER, "workday", whole(record.get("duration"))


def _moment(event: Row, column: str) -> datetime:
    return datetime.fromtimestamp(whole(event[column]), tz=UTC)


def _elements(event: Row) -> Iterator[Owner]:
    links = event.get("uf_crm_cal_event")
    for link in links if isinstance(links, list) else []:
        code, _, number = (text(link) or "").partition("_")
        if code in _ELEMENTS and number.isdigit():
            yield _ELEMENTS[code], int(number)


def _seconds(since: datetime, until: datetime) -> int:
    return int((until - since).total_seconds())
