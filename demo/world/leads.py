"""Leads: from the first request to a deal, to the bin, or to nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from demo.world.channels import Channels, Origin
from demo.world.clients import AddressBook, Client
from demo.world.clock import DAY_S, HOUR_S, MINUTE_S, portal_stamp, to_working_time, utc_stamp
from demo.world.communication import LEAD, Communication, Subject
from demo.world.deals import CREATED, FINISHED, MOVED, DealDesk
from demo.world.engine import Engine
from demo.world.fields import CustomFields
from demo.world.model import Row
from demo.world.names import Names, write_phone
from demo.world.portal_setup import LEAD_STAGES, Stage
from demo.world.quirks import NUL, ODD_COMMENTS, TEST_TITLES, every
from demo.world.staff import Seller, Staff

STAGES = {stage.code: stage for stage in LEAD_STAGES}
IN_WORK = [stage for stage in LEAD_STAGES if stage.semantics == "P"]
CONVERTED, JUNK, SPAM = STAGES["CONVERTED"], STAGES["JUNK"], STAGES["UC_SPAM01"]
REPEAT_SHARE = 0.1
FIRST_RESPONSE_SHARE = 0.8
REQUESTS = ("Заявка с сайта", "Запрос КП", "Обратный звонок", "Вопрос по наличию", "Форма «Подобрать насос»")


@dataclass
class Lead:
    """A lead's row with what the generator knows beside it."""

    id: int
    row: Row
    stage: Stage
    seller: Seller
    phone: str
    origin: Origin
    client: Client | None = None
    deal_ids: list[int] = field(default_factory=list)


class LeadDesk:
    """Creates leads and lives them through."""

    def __init__(
        self,
        engine: Engine,
        names: Names,
        staff: Staff,
        channels: Channels,
        fields: CustomFields,
        book: AddressBook,
        talk: Communication,
        deals: DealDesk,
    ) -> None:
        """Take everything a lead touches."""
        self._engine = engine
        self._names = names
        self._staff = staff
        self._channels = channels
        self._fields = fields
        self._book = book
        self._talk = talk
        self._deals = deals
        self._leads: dict[int, Lead] = {}
        self._converted: list[int] = []
        self._number = 0

    def arrive(self, *, deal_at: int | None) -> None:
        """Write a new lead.

        Args:
            deal_at: when it will become a deal; None for a lead that never will.
        """
        lead = self._write(converts=deal_at is not None)
        self._respond(lead)
        if deal_at is not None:
            for code in self._steps_before(deal_at):
                moment = self._engine.rng.randint(self._engine.now, deal_at)
                self._engine.at(moment, partial(self._advance, lead, STAGES[code]))
            self._engine.at(deal_at, partial(self._convert, lead))
        else:
            self._fade(lead)

    def second_deal(self) -> bool:
        """Create one more deal for a lead converted lately; return false if there is none."""
        while self._converted:
            lead = self._leads[self._converted.pop()]
            if self._engine.exists("leads", lead.id):
                self._make_deal(lead)
                return True
        return False

    def clients(self) -> Iterator[Client]:
        """Yield the clients behind the leads."""
        for lead in self._leads.values():
            if lead.client is not None:
                yield lead.client

    def any_lead(self) -> int | None:
        """Return the id of a living lead, None if there is none."""
        living = self._engine.tables["leads"].rows
        return self._engine.pick(list(living)) if living else None

    def edit(self, lead_id: int) -> None:
        """Change one custom field of a lead."""
        row = self._engine.tables["leads"].rows.get(lead_id)
        if row is not None:
            self._fields.change_one("leads", row)
            self._engine.touch(row, row["ASSIGNED_BY_ID"] or "1")

    # creation

    def _write(self, *, converts: bool) -> Lead:
        self._number += 1
        number = self._number
        origin = self._channels.draw(converts=converts)
        client = self._book.buyer() if self._engine.chance(REPEAT_SHARE) else None
        seller = (client and client.seller) or self._staff.responsible(self._engine.pick(("sales", "sales", "service")))
        if seller.leaves_at is not None and self._engine.now >= seller.leaves_at:
            seller = self._staff.responsible(seller.team)
        phone = client.phone if client else self._names.phone()
        row = self._row(number, origin, client, seller, phone)
        lead_id = self._engine.add("leads", row)
        row |= self._fields.values("leads")
        lead = Lead(lead_id, row, LEAD_STAGES[0], seller, phone, origin, client)
        self._leads[lead_id] = lead
        self._record(lead, CREATED)
        self._engine.tell("lead created", lead_id)
        return lead

    def _row(self, number: int, origin: Origin, client: Client | None, seller: Seller, phone: str) -> Row:
        now = portal_stamp(self._engine.now)
        person = self._names.person()
        user = seller.user_id
        company = self._names.company() if self._engine.chance(0.45) else self._engine.pick((None, ""))
        has_phone, has_email = self._engine.chance(0.9), self._engine.chance(0.4)
        row: Row = {
            "ID": "",
            "TITLE": self._title(number, company),
            "HONORIFIC": person.honorific if self._engine.chance(0.2) else None,
            "NAME": f"{person.first}{NUL}" if every(number, 400, 150) else person.first,
            "SECOND_NAME": None,
            "LAST_NAME": person.last if self._engine.chance(0.6) else None,
            "COMPANY_TITLE": company,
            "COMPANY_ID": str(client.company_id) if client and client.company_id else self._engine.pick((None, "0")),
            "CONTACT_ID": str(client.contact_id) if client and client.contact_id else self._engine.pick((None, "0")),
            "IS_RETURN_CUSTOMER": "Y" if client else "N",
            "BIRTHDATE": "",
            **origin.fields(),
            "STATUS_ID": "NEW",
            "STATUS_DESCRIPTION": None,
            "STATUS_SEMANTIC_ID": "P",
            "POST": self._names.job() or None,
            "COMMENTS": self._engine.pick(ODD_COMMENTS) if every(number, 35, 8) else None,
            "CURRENCY_ID": "RUB",
            "OPPORTUNITY": f"{self._engine.rng.choice((0, 0, 0, 50_000, 120_000.5, 990_000)):.2f}",
            "IS_MANUAL_OPPORTUNITY": "Y",
            "OPENED": "Y",
            "HAS_PHONE": "Y" if has_phone else "N",
            "HAS_EMAIL": "Y" if has_email else "N",
            "HAS_IMOL": "Y" if origin.source_id == "1|OPENLINE" else "N",
            "ASSIGNED_BY_ID": "0" if every(number, 250, 40) else user,
            "CREATED_BY_ID": user,
            "MODIFY_BY_ID": user,
            "MOVED_BY_ID": user,
            "DATE_CREATE": now,
            "DATE_MODIFY": now,
            "MOVED_TIME": now,
            "DATE_CLOSED": "",
            "ORIGINATOR_ID": None,
            "ORIGIN_ID": None,
            "ADDRESS": None,
            "ADDRESS_CITY": self._names.city() if self._engine.chance(0.2) else None,
            "LAST_ACTIVITY_TIME": now,
            "LAST_ACTIVITY_BY": user,
        }
        if has_phone:
            written = write_phone(phone, self._engine.rng.randint(0, 4))
            row["PHONE"] = [self._engine.multifield("PHONE", written)]
        if has_email:
            row["EMAIL"] = [self._engine.multifield("EMAIL", self._names.email(person))]
        return row

    def _title(self, number: int, company: str | None) -> str:
        if every(number, 140, 30):
            return self._engine.pick(TEST_TITLES)
        if every(number, 90, 12):
            return self._engine.pick(("⚡ Срочная заявка 💥", 'Лид "с кавычками"; и точкой', "Звонок\nбез темы"))
        request = self._engine.pick(REQUESTS)
        return f"{request} ({company})" if company else request

    # the way through the stages

    def _steps_before(self, deal_at: int) -> tuple[str, ...]:
        if deal_at - self._engine.now < HOUR_S:
            return ()
        return self._engine.pick((("IN_PROCESS",), ("IN_PROCESS", "PROCESSED"), ("UC_QUAL01",), ()))

    def _fade(self, lead: Lead) -> None:
        """Let a lead that becomes no deal be worked on, thrown away, forgotten, or converted to a contact only."""
        wait = self._engine.days(1.5)
        if self._engine.chance(0.7):
            stage = self._engine.pick(IN_WORK[1:])
            self._engine.at(to_working_time(self._engine.now + wait // 2), partial(self._advance, lead, stage))
        roll = self._engine.rng.random()
        if roll < 0.07:
            return  # stays open for ever
        moment = to_working_time(self._engine.now + wait + self._engine.days(3))
        if roll < 0.14:
            self._engine.at(moment, partial(self._close, lead, CONVERTED))
        else:
            self._engine.at(moment, partial(self._close, lead, SPAM if roll < 0.3 else JUNK))
            if self._engine.chance(0.04):
                self._engine.at(to_working_time(moment + self._engine.days(10)), partial(self._reopen, lead))

    def _advance(self, lead: Lead, stage: Stage) -> None:
        """Move an open lead to a stage of work, if that is a step on (now and then: a step back)."""
        if not self._engine.exists("leads", lead.id) or lead.stage.semantics != "P":
            return
        if IN_WORK.index(stage) > IN_WORK.index(lead.stage) or self._engine.chance(0.3):
            self._move(lead, stage)

    def _close(self, lead: Lead, stage: Stage) -> None:
        if self._engine.exists("leads", lead.id) and lead.stage.semantics == "P":
            lead.row["STATUS_DESCRIPTION"] = self._engine.pick((None, "нецелевой; спам", "не дозвонились"))
            self._move(lead, stage)

    def _reopen(self, lead: Lead) -> None:
        if self._engine.exists("leads", lead.id) and lead.stage.semantics == "F":
            self._move(lead, STAGES["IN_PROCESS"])
            self._engine.at(to_working_time(self._engine.now + self._engine.days(5)), partial(self._close, lead, JUNK))

    def _convert(self, lead: Lead) -> None:
        if not self._engine.exists("leads", lead.id):
            return
        self._make_deal(lead)
        self._move(lead, CONVERTED)
        if self._engine.chance(0.1):
            self._converted.append(lead.id)

    def _make_deal(self, lead: Lead) -> None:
        if lead.client is None:
            lead.client = self._book.new_client(lead.origin, lead.seller, lead=lead.row)
            self._link(lead)
        pipeline = self._deals.choose_pipeline()
        seller = lead.seller if lead.seller.team == pipeline.team else self._staff.responsible(pipeline.team)
        # the deal card takes the lead's source over; some sellers then correct it
        origin = lead.origin if self._engine.chance(0.93) else self._channels.draw(converts=True)
        deal = self._deals.create(origin, lead.client, seller, pipeline, lead_id=lead.id)
        lead.deal_ids.append(deal.id)

    def _link(self, lead: Lead) -> None:
        client = lead.client
        if client and client.company_id:
            lead.row["COMPANY_ID"] = str(client.company_id)
        if client and client.contact_id:
            lead.row["CONTACT_ID"] = str(client.contact_id)
        self._engine.touch(lead.row, lead.seller.user_id)

    def _move(self, lead: Lead, stage: Stage) -> None:
        lead.stage = stage
        row, now = lead.row, portal_stamp(self._engine.now)
        row["STATUS_ID"], row["STATUS_SEMANTIC_ID"] = stage.code, stage.semantics
        row["MOVED_TIME"], row["MOVED_BY_ID"] = now, lead.seller.user_id
        row["DATE_CLOSED"] = "" if stage.semantics == "P" else now
        self._engine.touch(row, lead.seller.user_id)
        self._record(lead, MOVED if stage.semantics == "P" else FINISHED)

    def _record(self, lead: Lead, kind: int) -> None:
        row: Row = {
            "ID": 0,
            "TYPE_ID": kind,
            "OWNER_ID": lead.id,
            "CREATED_TIME": utc_stamp(self._engine.now),
            "STATUS_SEMANTIC_ID": lead.stage.semantics,
            "STATUS_ID": lead.stage.code,
        }
        row["ID"] = self._engine.tables["lead_stage_history"].add(row)

    # conversations

    def _subject(self, lead: Lead) -> Subject:
        phone = lead.phone if "PHONE" in lead.row else ""
        return Subject(LEAD, lead.id, (), phone, lead.seller.user_id, lead.row["TITLE"])

    def _respond(self, lead: Lead) -> None:
        """Let the lead's first hours happen: the call it was born from, a form, and the answer to it."""
        source = lead.origin.source_id
        self._talk.arrival(self._subject(lead), source)
        if source == "CALL":
            answered = self._engine.chance(0.85)
            began = self._engine.rng.randint(5, 200) if answered else 0
            self._talk.phone(self._subject(lead), incoming=True, answered=answered, began_s=began)
            if answered:
                return
        if self._engine.chance(FIRST_RESPONSE_SHARE):
            wait = int(self._engine.rng.lognormvariate(3.6, 1.2)) * MINUTE_S + 60
            self._engine.at(to_working_time(self._engine.now + wait), partial(self._answer, lead))
        if self._engine.chance(0.35):
            moment = to_working_time(self._engine.now + self._engine.rng.randint(DAY_S, 4 * DAY_S))
            self._engine.at(moment, partial(self._follow_up, lead))

    def _answer(self, lead: Lead) -> None:
        if not self._engine.exists("leads", lead.id):
            return
        subject = self._subject(lead)
        if subject.phone and self._engine.chance(0.75):
            self._talk.phone(subject, incoming=False)
        else:
            self._talk.email(subject, incoming=False)

    def _follow_up(self, lead: Lead) -> None:
        if self._engine.exists("leads", lead.id) and lead.stage.semantics == "P":
            self._talk.conversation(self._subject(lead))
