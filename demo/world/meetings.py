"""Calendars: recurring meetings of departments, meetings with clients, days of the whole company.

The table holds one row per entry; `occurrences` writes out its days, as the portal does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from demo.world.clock import DAY_S, HOUR_S, MINUTE_S, day_start, local_day, portal_stamp, weekday
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import PORTAL_TZ, Row
from demo.world.packed import Packed, PackedTable
from demo.world.staff import Staff

WEEK_S = 7 * DAY_S
SERIES_WEEKS = 26
SERIES_AGE_DAYS = 150
MEETING_IN_CALENDAR = 0.7
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
USER, COMPANY, GROUP = "user", "company_calendar", "group"
COMPANY_SECTION = 2
ACCEPTED, HOST = "Y", "H"


def display_time(moment: int, *, whole_day: bool) -> str:
    """Write an instant as the portal shows it to people: `15.06.2026 10:00:00`."""
    return datetime.fromtimestamp(moment, PORTAL_TZ).strftime("%d.%m.%Y" if whole_day else "%d.%m.%Y %H:%M:%S")


def occurrences(event: Row) -> Iterator[Row]:
    """Yield an event's row once for each of its days: a series goes on weekly until the day that its rule names."""
    yield event
    if not event["RRULE"]:
        return
    start, end = int(event["DATE_FROM_TS_UTC"]), int(event["DATE_TO_TS_UTC"])
    last = datetime.strptime(event["RRULE"]["UNTIL"], "%d.%m.%Y").replace(tzinfo=PORTAL_TZ).timestamp() + DAY_S
    for later in range(WEEK_S, int(last) - start, WEEK_S):
        yield event | _dates(start + later, end + later, whole_day=event["DT_SKIP_TIME"] == "Y")


def _dates(start: int, end: int, *, whole_day: bool) -> Row:
    return {
        "DATE_FROM": display_time(start, whole_day=whole_day),
        "DATE_TO": display_time(end, whole_day=whole_day),
        "DATE_FROM_TS_UTC": str(start),
        "DATE_TO_TS_UTC": str(end),
    }


class Calendars:
    """Writes sections and events."""

    def __init__(self, engine: Engine, staff: Staff, end: int) -> None:
        """Write a section for everyone, and the series of the last half-year as their time comes."""
        self._engine = engine
        self._dice = Dice(engine.seed, "calendars")
        self._staff = staff
        self._table = PackedTable("calendar_events", self._unpack, last_id=1200)
        engine.tables["calendar_events"] = self._table
        self._section_of: dict[str, int] = {}
        born = portal_stamp(engine.now)[:19].replace("T", " ")
        sections = engine.tables["calendar_sections"]
        sections.put(COMPANY_SECTION, self._section(COMPANY_SECTION, COMPANY, "0", "Календарь компании", born))
        for user in staff.user_ids:
            section = sections.last_id + 2
            self._section_of[user] = section
            sections.put(section, self._section(section, USER, user, "Мой календарь", born))
        sections.put(sections.last_id + 5, self._section(sections.last_id + 5, GROUP, "12", "Внедрение CRM", born))
        engine.hear("CRM_MEETING", self._on_meeting)
        for moment in (end - SERIES_AGE_DAYS * DAY_S, end - 20 * DAY_S):
            engine.at(moment, self._begin_series)
        engine.at(end - 40 * DAY_S, self._company_day)

    def one_day(self) -> None:
        """Write a private entry, and from time to time a new series."""
        user = self._dice.pick(self._staff.employed())
        start = day_start(local_day(self._engine.now) + self._dice.number(1, 10)) + 11 * HOUR_S
        self._append(0, user, user, "Личное", start, HOUR_S, private=True)
        if self._dice.chance(0.15):
            self._begin_series()
        if self._dice.chance(0.1):
            self._company_day()

    def _begin_series(self) -> None:
        """Let a head plan a weekly meeting for half a year; everyone asked gets a copy."""
        host, *guests = self._dice.rng.sample(self._staff.employed(), 4)
        day = local_day(self._engine.now) + self._dice.number(1, 7)
        while weekday(day) > 4:
            day += 1
        start = day_start(day) + self._dice.pick((9, 10, 16)) * HOUR_S
        until = start + (SERIES_WEEKS - 1) * WEEK_S
        parent = self._append(0, host, host, "Планёрка отдела; итоги недели", start, 45 * MINUTE_S, until=until)
        for guest in guests:
            self._append(parent, guest, host, "Планёрка отдела; итоги недели", start, 45 * MINUTE_S, until=until)

    def _company_day(self) -> None:
        start = day_start(local_day(self._engine.now) + 15)
        name = "День компании 🎂"
        self._table.append(
            (0, COMPANY, "0", self._staff.user_ids[0], name, start, DAY_S, 0, "", True, False, self._engine.now)
        )

    def _on_meeting(self, _: int, activity: Row, start: int, end: int) -> None:
        if not self._dice.chance(MEETING_IN_CALENDAR):
            return
        user, employed = activity["RESPONSIBLE_ID"], self._staff.employed()
        if user not in employed:
            return
        prefix = {"1": "L", "2": "D", "3": "C", "4": "CO"}[activity["OWNER_TYPE_ID"]]
        link = f"{prefix}_{activity['OWNER_ID']}"
        parent = self._append(0, user, user, activity["SUBJECT"], start, end - start, link=link)
        if self._dice.chance(0.3):
            guest = self._dice.pick(employed)
            if guest != user:
                self._append(parent, guest, user, activity["SUBJECT"], start, end - start, link=link)

    def _append(
        self,
        parent: int,
        owner: str,
        host: str,
        name: str,
        start: int,
        length: int,
        *,
        until: int = 0,
        link: str = "",
        private: bool = False,
    ) -> int:
        values = (parent, USER, owner, host, name, start, length, until, link, False, private, self._engine.now)
        return self._table.append(values)

    def _unpack(self, event_id: int, values: Packed) -> Row:
        parent, kind, owner, host, name, start, length, until, link, whole_day, private, written = values
        end = start + (0 if whole_day else length)
        is_copy = parent != 0
        is_meeting = kind == USER and not private
        section = COMPANY_SECTION if kind == COMPANY else self._section_of[owner]
        born = display_time(written, whole_day=False)
        return {
            "ID": str(event_id),
            "PARENT_ID": str(parent or event_id),
            "CREATED_BY": host,
            "OWNER_ID": owner,
            "MEETING_HOST": host,
            "SECTION_ID": str(section),
            "SECT_ID": str(section),
            "DELETED": "N",
            "CAL_TYPE": kind,
            "NAME": name,
            "DESCRIPTION": "",
            "LOCATION": "",
            **_dates(start, end, whole_day=whole_day),
            "TZ_FROM": "Europe/Moscow",
            "TZ_TO": "Europe/Moscow",
            "TZ_OFFSET_FROM": "10800",
            "TZ_OFFSET_TO": "10800",
            "DATE_CREATE": born,
            "TIMESTAMP_X": born,
            "DT_SKIP_TIME": "Y" if whole_day else "N",
            "DT_LENGTH": length,
            "EVENT_TYPE": None,
            "ACCESSIBILITY": "free" if whole_day else "busy",
            "IMPORTANCE": "normal",
            "PRIVATE_EVENT": "1" if private else "",
            "IS_MEETING": is_meeting,
            "MEETING_STATUS": (ACCEPTED if is_copy else HOST) if is_meeting else None,
            "MEETING": {"HOST_NAME": host} if is_meeting else [],
            "REMIND": [],
            "RRULE": self._rule(start, until) if until else "",
            "EXDATE": "",
            "RECURRENCE_ID": None,
            "RELATIONS": [],
            "COLOR": "",
            "VERSION": "1",
            "UF_CRM_CAL_EVENT": [link] if link else False,
            "UF_WEBDAV_CAL_EVENT": False,
        }

    @staticmethod
    def _rule(start: int, until: int) -> Row:
        last = (datetime.fromtimestamp(until, UTC) + timedelta(hours=3)).strftime("%d.%m.%Y")
        day = WEEKDAYS[weekday(local_day(start))]
        return {"FREQ": "WEEKLY", "INTERVAL": 1, "BYDAY": {day: day}, "UNTIL": last}

    @staticmethod
    def _section(section: int, kind: str, owner: str, name: str, born: str) -> Row:
        return {
            "ID": str(section),
            "NAME": name,
            "DESCRIPTION": None,
            "COLOR": "#86b100",
            "CAL_TYPE": kind,
            "OWNER_ID": owner,
            "CREATED_BY": owner if kind == USER else "1",
            "DATE_CREATE": born,
            "TIMESTAMP_X": born,
            "EXTERNAL_TYPE": "local",
            "ACCESS": {"G2": 13} if kind == COMPANY else [],
            "PERM": {"view_time": True, "view_title": True, "view_full": True, "add": True, "edit": True},
        }
