"""Calls with their legs, e-mails, meetings, reminders, chats: everything with a client on the other end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from demo.world.clock import DAY_S, HOUR_S, MINUTE_S, day_start, portal_stamp, to_working_time
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.names import write_phone
from demo.world.quirks import every
from demo.world.staff import Staff

LEAD, DEAL, CONTACT, COMPANY = 1, 2, 3, 4
OWNER_TABLES = {LEAD: "leads", DEAL: "deals", CONTACT: "contacts", COMPANY: "companies"}
INCOMING, OUTGOING, NO_DIRECTION = "1", "2", "0"
MEETING, CALL, TASK, EMAIL, GENERIC, PROVIDER = "1", "2", "3", "4", "5", "6"

LINES = ("74951234501", "74951234502", "reg501")
OUT_CALL, IN_CALL, REDIRECTED_CALL, CALLBACK_CALL, INFO_CALL = "1", "2", "3", "4", "5"
ANSWERED = "200"
# code, reason, weight
OUT_FAILURES = (
    ("486", "Busy Here", 30),
    ("304", "Skipped call", 25),
    ("480", "Temporarily unavailable", 15),
    ("603-S", "Cancelled", 12),
    ("404", 'Not Found; "wrong number"', 6),
    ("484", "Address Incomplete", 3),
    ("402", "Payment Required", 2),
    ("423", "Blocked", 2),
    ("OTHER", "Unknown\treason", 2),
    ("403", "", 1),
)
IN_FAILURES = (("304", "Skipped call", 80), ("603", "Decline", 15), ("486", "Busy Here", 5))
VOTE_CHANCE = 0.22
LATE_VOTE_S = 5 * DAY_S
LATEST_ACTIVITIES = 500
FAR_FUTURE_DAY = 2_932_896  # 9999-12-31


@dataclass(frozen=True)
class Subject:
    """Whom and what a conversation is about.

    Attributes:
        owner_type, owner_id: the lead or deal that owns the activity. bindings: further CRM rows, (type, id).
        phone: ten digits, empty when unknown. user: the responsible's id.
    """

    owner_type: int
    owner_id: int
    bindings: tuple[tuple[int, int], ...]
    phone: str
    user: str
    topic: str

    @property
    def caller(self) -> tuple[str, int] | None:
        """Return what telephony takes the client for: the lead, or the deal's contact or company."""
        if self.owner_type == LEAD:
            return "LEAD", self.owner_id
        for kind, name in ((CONTACT, "CONTACT"), (COMPANY, "COMPANY")):
            for bound_type, bound_id in self.bindings:
                if bound_type == kind:
                    return name, bound_id
        return None


class Communication:
    """Writes activities and calls as they happen."""

    def __init__(self, engine: Engine, staff: Staff) -> None:
        """Start with an empty timeline."""
        self._engine = engine
        self._staff = staff
        self._answered: deque[tuple[int, int]] = deque(maxlen=300)  # call, when it ended

    def conversation(self, subject: Subject, *, call: float = 0.55) -> None:
        """Let the responsible or the client do one thing: mostly a call or an e-mail."""
        roll = self._engine.rng.random()
        if roll < call:
            self.phone(subject, incoming=self._engine.chance(0.3))
        elif roll < call + (1 - call) * 0.60:
            self.email(subject, incoming=self._engine.chance(0.45))
        elif roll < call + (1 - call) * 0.78:
            self.meeting(subject)
        elif roll < call + (1 - call) * 0.92:
            self.reminder(subject)
        else:
            self.other(subject)

    def phone(self, subject: Subject, *, incoming: bool, answered: bool | None = None, began_s: int = 0) -> None:
        """Let a call take place now; its rows appear when it ends.

        Args:
            subject: who calls about what.
            incoming: direction.
            answered: None lets chance decide.
            began_s: how many seconds ago it began.
        """
        if answered is None:
            answered = self._engine.chance(0.72 if incoming else 0.62)
        start = self._engine.now - began_s
        if answered:
            seconds = max(int(self._engine.rng.lognormvariate(4.7, 1.0)), began_s + 5)
        else:
            seconds = self._engine.rng.randint(5, 45)
        self._engine.at(start + seconds, lambda: self._hang_up(subject, start, seconds, incoming, answered))

    def email(self, subject: Subject, *, incoming: bool, completed: bool | None = None) -> None:
        """Write an e-mail; an incoming one stays open until somebody reads it."""
        if completed is None:
            completed = not incoming or self._engine.chance(0.9)
        direction = INCOMING if incoming else OUTGOING
        title = f"{'Re: ' if incoming else ''}{subject.topic}"
        now = self._engine.now
        activity = self._write(
            subject, EMAIL, "CRM_EMAIL", "EMAIL", title, direction, now, now, completed and not incoming
        )
        if incoming and completed:
            self._complete_later(activity, to_working_time(now + self._engine.rng.randint(5, 300) * MINUTE_S))

    def meeting(self, subject: Subject) -> None:
        """Plan a meeting some days ahead; most take place."""
        start = to_working_time(self._engine.now + self._engine.rng.randint(1, 7) * DAY_S)
        end = start + self._engine.rng.choice((30, 60, 90)) * MINUTE_S
        title = f"Встреча: {subject.topic}"
        activity = self._write(subject, MEETING, "CRM_MEETING", "MEETING", title, NO_DIRECTION, start, end, False)
        if self._engine.chance(0.85):
            self._complete_later(activity, end + self._engine.rng.randint(0, 300) * MINUTE_S)

    def reminder(self, subject: Subject) -> None:
        """Plan a universal activity with a deadline; some are never closed."""
        due = to_working_time(self._engine.now + self._engine.days(2))
        activity = self._write(
            subject, PROVIDER, "CRM_TODO", "TODO", "Связаться с клиентом", NO_DIRECTION, due, due, False
        )
        if self._engine.chance(0.8):
            self._complete_later(activity, to_working_time(due + self._engine.rng.randint(-3, 20) * HOUR_S))

    def other(self, subject: Subject) -> None:
        """Write what other providers leave: a text message, an imported calendar event, a chat."""
        provider, kind, type_id, direction = self._engine.pick(
            (
                ("CRM_SMS", "SMS", PROVIDER, OUTGOING),
                ("CRM_CALENDAR", "", GENERIC, NO_DIRECTION),
                ("IMOPENLINES_SESSION", "1", PROVIDER, INCOMING),
                ("CRM_WHATSAPP", "WHATSAPP", PROVIDER, OUTGOING),
            )
        )
        self._write(
            subject, type_id, provider, kind, subject.topic, direction, self._engine.now, self._engine.now, True
        )

    def arrival(self, subject: Subject, source: str | None) -> None:
        """Write the activity with which a form or an open line opens a lead."""
        if source == "WEBFORM":
            provider, kind = "CRM_WEBFORM", "WEBFORM"
        elif source == "1|OPENLINE":
            provider, kind = "IMOPENLINES_SESSION", "1"
        else:
            return
        now = self._engine.now
        self._write(subject, PROVIDER, provider, kind, subject.topic, INCOMING, now, now, True)

    def task_card(self, subject: Subject, task_id: int, deadline: int | None) -> int:
        """Write the activity that shows a task on its deal and return its id; the old provider is still met."""
        old = self._engine.chance(0.3)
        # the portal writes a far future date when there is no deadline
        due = deadline if deadline is not None else day_start(FAR_FUTURE_DAY)
        type_id, provider = (TASK, "TASKS") if old else (PROVIDER, "CRM_TASKS_TASK")
        activity = self._write(
            subject, type_id, provider, "TASK", subject.topic, NO_DIRECTION, self._engine.now, due, False
        )
        self._engine.tables["activities"].rows[activity]["ASSOCIATED_ENTITY_ID"] = str(task_id)
        return activity

    def complete(self, activity_id: int) -> None:
        """Mark an activity as done now."""
        row = self._engine.tables["activities"].rows.get(activity_id)
        if row is None or row["COMPLETED"] == "Y":
            return
        row["COMPLETED"], row["STATUS"] = "Y", self._engine.pick(("2", "2", "2", "3"))
        row["EDITOR_ID"] = row["RESPONSIBLE_ID"]
        row["LAST_UPDATED"] = portal_stamp(self._engine.now)

    def vote(self, call_id: int) -> None:
        """Let the client rate a call after it; nothing tells that the row has changed."""
        row = self._engine.tables["calls"].rows.get(call_id)
        if row is not None:
            row["CALL_VOTE"] = self._engine.pick(("5", "5", "5", "4", "4", "3", "2", "1"))

    def vote_late(self) -> None:
        """Let a client rate one of the calls of the last days that nobody has rated."""
        calls = self._engine.tables["calls"].rows
        recent = [call_id for call_id, ended in self._answered if ended > self._engine.now - LATE_VOTE_S]
        unrated = [call_id for call_id in recent if calls[call_id]["CALL_VOTE"] in (None, "0")]
        if unrated:
            self.vote(self._engine.pick(unrated))

    def complete_one(self) -> None:
        """Let somebody do one of the latest things that wait to be done."""
        latest = list(self._engine.tables["activities"].rows.items())[-LATEST_ACTIVITIES:]
        waiting = [row_id for row_id, row in latest if row["COMPLETED"] == "N"]
        if waiting:
            self.complete(self._engine.pick(waiting))

    def info_call(self, subject: Subject) -> None:
        """Let the exchange read a message to the client; no CRM card remembers it."""
        duration = self._engine.rng.randint(5, 40)
        self._write_leg(
            subject, self._call_key(), INFO_CALL, ANSWERED, "", self._engine.now - duration, duration, None, LINES[0]
        )

    def _complete_later(self, activity_id: int, moment: int) -> None:
        self._engine.at(moment, lambda: self.complete(activity_id))

    def _hang_up(self, subject: Subject, start: int, seconds: int, incoming: bool, answered: bool) -> None:
        if not self._engine.exists(OWNER_TABLES[subject.owner_type], subject.owner_id):
            return
        name = "Входящий от" if incoming else "Исходящий на"
        key = self._call_key()
        activity: int | None = None
        if self._engine.chance(0.93):
            title = f"{name} {write_phone(subject.phone or '9990000000', 0)}"
            direction = INCOMING if incoming else OUTGOING
            done = answered or not incoming
            activity = self._write(
                subject, CALL, "VOXIMPLANT_CALL", "CALL", title, direction, start, start + seconds, done
            )
            self._engine.tables["activities"].rows[activity]["ORIGIN_ID"] = f"VI_{key}"
        last = self._write_legs(subject, key, start, seconds, incoming, answered, activity)
        if answered and self._engine.chance(VOTE_CHANCE):
            self._engine.after(self._engine.rng.randint(1, 5 * 24) * HOUR_S, lambda: self.vote(last))
        if incoming and not answered and self._engine.chance(0.6):
            self._engine.at(
                to_working_time(self._engine.now + 20 * MINUTE_S), lambda: self._call_back(subject, activity)
            )

    def _call_back(self, subject: Subject, missed: int | None) -> None:
        self.phone(subject, incoming=False)
        if missed is not None:
            self.complete(missed)

    def _write_legs(
        self, subject: Subject, key: str, start: int, seconds: int, incoming: bool, answered: bool, activity: int | None
    ) -> int:
        line = self._engine.pick(LINES)
        legs = self._engine.rng.choices((0, 1, 2), (78, 15, 7))[0] if incoming else 0
        for number in range(legs):  # the queue rings colleagues first
            other = Subject(
                subject.owner_type,
                subject.owner_id,
                subject.bindings,
                subject.phone,
                self._staff.colleague(),
                subject.topic,
            )
            self._write_leg(other, key, IN_CALL, "304", "Skipped call", start + number, 0, activity, line)
        kind = self._call_type(incoming, legs)
        if answered:
            return self._write_leg(subject, key, kind, ANSWERED, "", start + legs, seconds, activity, line)
        failures = IN_FAILURES if incoming else OUT_FAILURES
        code, reason, _ = self._engine.rng.choices(failures, [weight for _, _, weight in failures])[0]
        return self._write_leg(subject, key, kind, code, reason, start + legs, 0, activity, line)

    def _call_type(self, incoming: bool, legs: int) -> str:
        if incoming:
            return REDIRECTED_CALL if legs and self._engine.chance(0.5) else IN_CALL
        return CALLBACK_CALL if self._engine.chance(0.05) else OUT_CALL

    def _call_key(self) -> str:
        return f"externalCall.{self._engine.rng.getrandbits(64):016x}.{self._engine.now}"

    def _write_leg(
        self,
        subject: Subject,
        key: str,
        kind: str,
        code: str,
        reason: str,
        start: int,
        duration: int,
        activity: int | None,
        line: str,
    ) -> int:
        caller = subject.caller if kind != INFO_CALL else None
        number = self._engine.tables["calls"].last_id
        row: Row = {
            "ID": "",
            "PORTAL_USER_ID": subject.user,
            "PORTAL_NUMBER": line,
            "PHONE_NUMBER": write_phone(subject.phone, number) if subject.phone else "",
            "CALL_ID": key,
            "EXTERNAL_CALL_ID": None,
            "SESSION_ID": str(3_000_000 + number) if code == ANSWERED else None,
            "CALL_CATEGORY": "external",
            "CALL_DURATION": str(duration),
            "CALL_START_DATE": portal_stamp(start),
            "CALL_RECORD_URL": "",
            "CALL_VOTE": self._engine.pick(("0", None)),
            "COST": f"{duration * 0.025:.4f}" if line == LINES[1] else "0.0000",
            "COST_CURRENCY": "RUR" if line == LINES[1] else self._engine.pick(("", "RUB")),
            "CALL_FAILED_CODE": code,
            "CALL_FAILED_REASON": reason,
            "CRM_ENTITY_TYPE": caller[0] if caller else None,
            "CRM_ENTITY_ID": str(caller[1]) if caller else self._engine.pick((None, "0")),
            "CRM_ACTIVITY_ID": str(activity) if activity else None,
            "REST_APP_ID": None,
            "REST_APP_NAME": None,
            "TRANSCRIPT_ID": None,
            "TRANSCRIPT_PENDING": "N",
            "REDIAL_ATTEMPT": None,
            "COMMENT": "перезвонить; «важно»\nпосле обеда" if every(number, 150, 9) else None,
            "RECORD_DURATION": None,
            "RECORD_FILE_ID": None,
            "CALL_TYPE": kind,
        }
        call_id = self._engine.add("calls", row, gaps=False)
        if code == ANSWERED and kind != INFO_CALL:
            self._answered.append((call_id, self._engine.now))
        return call_id

    def _write(
        self,
        subject: Subject,
        type_id: str,
        provider: str,
        provider_type: str,
        title: str,
        direction: str,
        start: int,
        end: int,
        completed: bool,
    ) -> int:
        now = portal_stamp(self._engine.now)
        owner = self._engine.tables[OWNER_TABLES[subject.owner_type]].rows.get(subject.owner_id)
        if owner is not None:
            # a new activity moves these without moving DATE_MODIFY
            owner["LAST_ACTIVITY_TIME"], owner["LAST_ACTIVITY_BY"] = now, subject.user
        bound = ((subject.owner_type, subject.owner_id), *subject.bindings)
        deadline = end if type_id in (TASK, PROVIDER) else start
        row: Row = {
            "ID": "",
            "OWNER_ID": str(subject.owner_id),
            "OWNER_TYPE_ID": str(subject.owner_type),
            "TYPE_ID": type_id,
            "PROVIDER_ID": provider,
            "PROVIDER_TYPE_ID": provider_type,
            "PROVIDER_GROUP_ID": "telegrambot" if provider == "IMOPENLINES_SESSION" else None,
            "ASSOCIATED_ENTITY_ID": "0",
            "SUBJECT": title,
            "CREATED": now,
            "LAST_UPDATED": now,
            "START_TIME": portal_stamp(start),
            "END_TIME": portal_stamp(end),
            "DEADLINE": portal_stamp(deadline),
            "COMPLETED": "Y" if completed else "N",
            "STATUS": "2" if completed else "1",
            "RESPONSIBLE_ID": subject.user,
            "AUTHOR_ID": subject.user,
            "EDITOR_ID": subject.user,
            "PRIORITY": self._engine.pick(("2", "2", "2", "3", "1")),
            "NOTIFY_TYPE": "0",
            "NOTIFY_VALUE": None,
            "DESCRIPTION": "<div>Добрый день!<br>Во вложении КП.</div>" if type_id == EMAIL else "",
            "DESCRIPTION_TYPE": "3" if type_id == EMAIL else "1",
            "DIRECTION": direction,
            "LOCATION": "",
            "IS_INCOMING_CHANNEL": "Y" if provider in ("CRM_WEBFORM", "IMOPENLINES_SESSION") else "N",
            "SETTINGS": [],
            "PROVIDER_PARAMS": [],
            "ORIGINATOR_ID": None,
            "ORIGIN_ID": None,
            "BINDINGS": [{"OWNER_TYPE_ID": str(kind), "OWNER_ID": str(number)} for kind, number in bound],
        }
        activity_id = self._engine.add("activities", row)
        self._engine.tell(provider, activity_id, row, start, end)
        return activity_id
