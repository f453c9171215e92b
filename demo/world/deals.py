"""Deals: where each begins, how it wanders through the stages of its pipeline, and what else changes on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from demo.world.channels import NO_UTM, Origin
from demo.world.clients import AddressBook, Client
from demo.world.clock import DAY_S, HOUR_S, MINUTE_S, date_stamp, local_day, portal_stamp, to_working_time, utc_stamp
from demo.world.communication import COMPANY, CONTACT, DEAL, Communication, Subject
from demo.world.engine import Engine
from demo.world.fields import CustomFields
from demo.world.model import Row
from demo.world.names import Names
from demo.world.portal_setup import CURRENCY_CODES, CURRENCY_SHARES, RATES, Pipeline, Stage
from demo.world.products import ProductRows, hundredths
from demo.world.quirks import (
    GLUED_PHONES,
    GLUED_PHONES_DEAL,
    MANY_ROWS,
    ODD_COMMENTS,
    ODD_TITLES,
    TEST_TITLES,
    every,
)
from demo.world.staff import Seller, Staff
from demo.world.tasks import TaskBoard

CREATED, MOVED, FINISHED, PIPELINE_CHANGED = 1, 2, 3, 5

PRODUCT_ROWS_SHARE = 0.7
LATER_STAGE_CHANCE = 0.06
STALL_CHANCE = 0.03
REOPEN_CHANCE = 0.035
STUCK_BEFORE_S, LEAST_STUCK = 150 * DAY_S, 2  # deals left in a stage that is deleted soon
TITLES = (
    "Поставка: {}",
    "{} — насосы",
    "КП для {}",
    "Компрессор, {}",
    "{}: сервисный договор",
    "Ремонт электродвигателя ({})",
    "Запчасти {}",
)


@dataclass
class Deal:
    """A deal's row with what the generator knows beside it.

    Attributes:
        stalled: nothing will move it any more. silent: its next move leaves no trace in the history.
    """

    id: int
    row: Row
    pipeline: Pipeline
    stage: Stage
    seller: Seller
    client: Client | None
    amount: Decimal
    stalled: bool = False
    silent: bool = False

    @property
    def is_closed(self) -> bool:
        """Tell whether the deal stands in a final stage."""
        return self.stage.semantics != "P"

    @property
    def user(self) -> str:
        """Return the responsible's id, the seller's when the row has none."""
        assigned = self.row["ASSIGNED_BY_ID"]
        return assigned if assigned not in (None, "0") else self.seller.user_id


class DealDesk:
    """Creates deals and lives them through."""

    def __init__(
        self,
        engine: Engine,
        names: Names,
        pipelines: list[Pipeline],
        staff: Staff,
        fields: CustomFields,
        book: AddressBook,
        talk: Communication,
        tasks: TaskBoard,
    ) -> None:
        """Take everything a deal touches."""
        self._engine = engine
        self._names = names
        self._pipelines = pipelines
        self._staff = staff
        self._fields = fields
        self._book = book
        self._talk = talk
        self._tasks = tasks
        self.products = ProductRows(engine)
        self.deals: dict[int, Deal] = {}
        self._number = 0
        self._stuck = 0

    # creation

    def choose_pipeline(self) -> Pipeline:
        """Return where a new deal goes now; a deleted pipeline takes none."""
        now = self._engine.now
        living = [p for p in self._pipelines if p.removed_at is None or now < p.removed_at - 20 * DAY_S]
        return self._engine.rng.choices(living, [pipeline.share for pipeline in living])[0]

    def create(
        self, origin: Origin, client: Client | None, seller: Seller, pipeline: Pipeline, *, lead_id: int | None = None
    ) -> Deal:
        """Write a new deal with its first history row and set it going."""
        stage = self._first_stage(pipeline)
        deal = self._write(origin, client, seller, pipeline, stage, lead_id)
        self._record(deal, CREATED)
        self._engine.tell("deal created", deal)
        if deal.row["IS_RECURRING"] == "Y":
            deal.stalled = True
            return deal
        if stage.semantics == "P":
            self._schedule_step(deal)
        self._accompany(deal, first=True)
        return deal

    def import_old(self) -> Deal:
        """Write a deal taken over from an older system: closed or stuck, and without any history."""
        pipeline = self._engine.pick([p for p in self._pipelines if p.team == "sales"])
        seller = self._staff.responsible(pipeline.team)
        origin = Origin(None, "импорт из 1С", NO_UTM)
        client = self._book.new_client(origin, seller)
        stage = self._engine.pick((pipeline.won, *pipeline.failures, *pipeline.path[:2]))
        deal = self._write(origin, client, seller, pipeline, stage, None)
        deal.row |= {"ORIGINATOR_ID": "1C", "ORIGIN_ID": f"old-{deal.id}"}
        began = local_day(self._engine.now) - self._engine.rng.randint(30, 900)
        deal.row["BEGINDATE"], deal.row["CLOSEDATE"] = date_stamp(began), date_stamp(began + 25)
        if self._engine.chance(0.5):
            deal.row["MOVED_TIME"] = None
        if stage.semantics == "S":
            self._book.remember_sale(client)
        deal.stalled = True
        self._engine.tell("deal created", deal)
        return deal

    def _first_stage(self, pipeline: Pipeline) -> Stage:
        path = pipeline.living_path(self._engine.now)
        if not self._engine.chance(LATER_STAGE_CHANCE):
            return path[0]
        return self._engine.pick((*path[1:], pipeline.won))

    def _write(
        self,
        origin: Origin,
        client: Client | None,
        seller: Seller,
        pipeline: Pipeline,
        stage: Stage,
        lead_id: int | None,
    ) -> Deal:
        self._number += 1
        number = self._number
        currency = self._engine.rng.choices(CURRENCY_CODES, CURRENCY_SHARES)[0]
        amount = self._draw_amount(pipeline, currency)
        row = self._row(number, origin, client, seller, pipeline, stage, currency, lead_id)
        deal_id = self._engine.add("deals", row)
        deal = Deal(deal_id, row, pipeline, stage, seller, client, amount, silent=every(number, 150, 64))
        self.deals[deal_id] = deal
        self._write_products(deal, number)
        row |= self._fields.values("deals")
        if stage.semantics != "P":
            self._close(deal)
        return deal

    def _draw_amount(self, pipeline: Pipeline, currency: str) -> Decimal:
        if self._engine.chance(0.02):
            return Decimal(0)
        base = Decimal(str(round(pipeline.amount * math.exp(self._engine.rng.gauss(0.0, 0.85)), 2)))
        amount = hundredths(base / RATES[currency])
        return amount if self._engine.chance(0.4) else (amount / 100).quantize(Decimal(1)) * 100

    def _row(
        self,
        number: int,
        origin: Origin,
        client: Client | None,
        seller: Seller,
        pipeline: Pipeline,
        stage: Stage,
        currency: str,
        lead_id: int | None,
    ) -> Row:
        now = portal_stamp(self._engine.now)
        today = local_day(self._engine.now)
        company, contact = self._client_columns(number, client)
        user = seller.user_id
        assigned: str | None = user
        if every(number, 200, 13):
            assigned = "0"
        elif every(number, 200, 113):
            assigned = None
        return {
            "ID": "",
            "TITLE": self._title(number, client),
            "TYPE_ID": self._engine.pick(("SALE", "SALE", "GOODS", "SERVICES", "COMPLEX", None)),
            "CATEGORY_ID": str(pipeline.id),
            "STAGE_ID": stage.code,
            "STAGE_SEMANTIC_ID": stage.semantics,
            "IS_NEW": "Y" if stage is pipeline.path[0] else "N",
            "IS_RECURRING": "Y" if every(number, 97, 5) else "N",
            "IS_RETURN_CUSTOMER": "Y" if client and client.won else "N",
            "IS_REPEATED_APPROACH": "Y" if client and client.lost and not client.won else "N",
            "PROBABILITY": self._engine.pick((None, None, "10", "50", "80", "")),
            "CURRENCY_ID": currency,
            "OPPORTUNITY": "0.00",
            "IS_MANUAL_OPPORTUNITY": "N",
            "TAX_VALUE": self._engine.pick(("0.00", None)),
            "LEAD_ID": str(lead_id) if lead_id else self._engine.pick((None, "0")),
            "COMPANY_ID": company,
            "CONTACT_ID": contact,
            "QUOTE_ID": None,
            "BEGINDATE": date_stamp(today),
            "CLOSEDATE": date_stamp(today + self._engine.rng.randint(7, 60)),
            "ASSIGNED_BY_ID": assigned,
            "CREATED_BY_ID": user,
            "MODIFY_BY_ID": user,
            "MOVED_BY_ID": user,
            "DATE_CREATE": now,
            "DATE_MODIFY": now,
            "MOVED_TIME": now,
            "OPENED": "Y",
            "CLOSED": "N",
            "COMMENTS": self._engine.pick(ODD_COMMENTS)
            if every(number, 35, 3)
            else self._engine.pick((None, "", None)),
            "ADDITIONAL_INFO": None,
            "LOCATION_ID": None,
            **origin.fields(),
            "ORIGINATOR_ID": None,
            "ORIGIN_ID": None,
            "LAST_ACTIVITY_TIME": now,
            "LAST_ACTIVITY_BY": user,
        }

    def _title(self, number: int, client: Client | None) -> str:
        if number in ODD_TITLES:
            return ODD_TITLES[number]
        if every(number, 131, 7):
            return self._engine.pick(TEST_TITLES)
        return self._engine.pick(TITLES).format(client.name if client else "без клиента")

    def _client_columns(self, number: int, client: Client | None) -> tuple[str | None, str | None]:
        nobody = self._engine.pick((None, "0"))
        if client is None:
            return nobody, nobody
        company = str(client.company_id) if client.company_id else nobody
        contact = str(client.contact_id) if client.contact_id else nobody
        if every(number, 150, 21):
            company = str(self._engine.burn_id("companies"))
        elif every(number, 150, 71):
            company, contact = nobody, str(self._engine.burn_id("contacts"))
        elif every(number, 60, 33):
            company = str(self._engine.pick(self._book.own_company_ids))
        return company, contact

    def _write_products(self, deal: Deal, number: int) -> None:
        count = MANY_ROWS.get(number, 0)
        if not count and self._engine.chance(PRODUCT_ROWS_SHARE):
            count = self._engine.rng.choices((1, 2, 3, 4, 5), (40, 25, 18, 10, 7))[0]
        manual = self._engine.chance(0.3) or not count
        if count:
            total = self.products.write(deal.id, deal.amount, count, RATES[deal.row["CURRENCY_ID"]])
            if manual:
                deal.amount = hundredths(total * Decimal(self._engine.pick(("0.9", "0.95", "1.05", "1"))))
            else:
                deal.amount = total
        deal.row["IS_MANUAL_OPPORTUNITY"] = "Y" if manual else "N"
        self._show_amount(deal)
        if number == GLUED_PHONES_DEAL:
            deal.row |= {"OPPORTUNITY": GLUED_PHONES, "IS_MANUAL_OPPORTUNITY": "Y"}

    def _show_amount(self, deal: Deal) -> None:
        if deal.row["OPPORTUNITY"] != GLUED_PHONES:
            deal.row["OPPORTUNITY"] = f"{deal.amount:.2f}"
            if deal.row["TAX_VALUE"] is not None and self.products.has_rows(deal.id):
                deal.row["TAX_VALUE"] = f"{hundredths(deal.amount / 6):.2f}"

    # the way through the stages

    def _schedule_step(self, deal: Deal) -> None:
        wait = self._engine.days(deal.pipeline.pace_days)
        if self._engine.chance(STALL_CHANCE):
            wait += self._engine.rng.randint(90, 300) * DAY_S
        moment = to_working_time(self._engine.now + wait)
        self._engine.at(moment, partial(self._step, deal))
        if self._engine.chance(0.22):
            self._engine.at(self._engine.rng.randint(self._engine.now, moment), partial(self.edit, deal))

    def _gone(self, deal: Deal) -> bool:
        return deal.stalled or not self._engine.exists("deals", deal.id)

    def _step(self, deal: Deal) -> None:
        """Take the next step: on, over, back, away, or out."""
        if self._gone(deal) or deal.is_closed:
            return
        if self._stops_for_good(deal):
            deal.stalled = True
            return
        roll = self._engine.rng.random()
        loss = deal.pipeline.loss / deal.seller.skill
        if roll < loss:
            self._move(deal, self._engine.pick(deal.pipeline.failures))
        elif roll < loss + 0.05:
            self._move(deal, self._neighbour(deal, -1))
        elif roll < loss + 0.065:
            self._change_pipeline(deal)
        elif roll < loss + 0.14:
            self._move(deal, self._neighbour(deal, 2))
        elif roll < loss + 0.155:
            self._rush(deal)
        else:
            self._move(deal, self._neighbour(deal, 1))
        self._after_move(deal)

    def _stops_for_good(self, deal: Deal) -> bool:
        now = self._engine.now
        if deal.pipeline.removed_at is not None and now >= deal.pipeline.removed_at:
            return True
        removed_at = deal.stage.removed_at
        if removed_at is None or now < removed_at - STUCK_BEFORE_S:
            return False
        # a small company has few deals there, and some have to stay
        self._stuck += 1
        return self._stuck <= LEAST_STUCK or (now >= removed_at and deal.id % 3 == 0)

    def _neighbour(self, deal: Deal, steps: int) -> Stage:
        """Return the stage some steps on along what is left of the path; past its end the deal is won."""
        path = deal.pipeline.path
        place = path.index(deal.stage)
        now = self._engine.now
        if steps < 0:
            before = [stage for stage in path[:place] if stage.lives(now)]
            return before[steps] if before else path[0]
        ahead = [stage for stage in path[place + 1 :] if stage.lives(now)]
        return ahead[steps - 1] if len(ahead) >= steps else deal.pipeline.won

    def _rush(self, deal: Deal) -> None:
        """Move through two stages within one second; the history id alone tells the order."""
        self._move(deal, self._neighbour(deal, 1))
        if not deal.is_closed:
            self._move(deal, self._neighbour(deal, 1))

    def _change_pipeline(self, deal: Deal) -> None:
        now = self._engine.now
        others = [p for p in self._pipelines if p is not deal.pipeline and p.removed_at is None]
        deal.pipeline = self._engine.pick(others)
        deal.seller = self._staff.responsible(deal.pipeline.team)
        deal.row["CATEGORY_ID"] = str(deal.pipeline.id)
        deal.stage = deal.pipeline.living_path(now)[0]
        self._show_stage(deal)
        self._record(deal, PIPELINE_CHANGED)
        if self._engine.chance(0.5):
            deal.stage = deal.pipeline.living_path(now)[1]
            self._show_stage(deal)
        self._record(deal, MOVED)

    def _move(self, deal: Deal, stage: Stage) -> None:
        deal.stage = stage
        self._show_stage(deal)
        self._engine.tell("deal moved", deal)
        if deal.silent:
            deal.stalled = True  # so that the last history row goes on lagging behind the deal
            return
        self._record(deal, MOVED if stage.semantics == "P" else FINISHED)

    def _show_stage(self, deal: Deal) -> None:
        row, stage = deal.row, deal.stage
        row["STAGE_ID"], row["STAGE_SEMANTIC_ID"] = stage.code, stage.semantics
        row["MOVED_TIME"], row["MOVED_BY_ID"] = portal_stamp(self._engine.now), deal.user
        row["IS_NEW"] = "Y" if stage is deal.pipeline.path[0] else "N"
        self._engine.touch(row, deal.user)
        if deal.is_closed:
            self._close(deal)
        else:
            row["CLOSED"] = "N"

    def _close(self, deal: Deal) -> None:
        deal.row["CLOSED"] = "Y"
        if self._engine.chance(0.8):
            deal.row["CLOSEDATE"] = date_stamp(local_day(self._engine.now))

    def _record(self, deal: Deal, kind: int) -> None:
        row: Row = {
            "ID": 0,
            "TYPE_ID": kind,
            "OWNER_ID": deal.id,
            "CREATED_TIME": utc_stamp(self._engine.now),
            "CATEGORY_ID": deal.pipeline.id,
            "STAGE_SEMANTIC_ID": deal.stage.semantics,
            "STAGE_ID": deal.stage.code,
        }
        row["ID"] = self._engine.tables["deal_stage_history"].add(row)

    def _after_move(self, deal: Deal) -> None:
        if self._engine.chance(0.012) and not deal.silent:
            # the portal sometimes records the same stage again
            self._engine.after(self._engine.rng.randint(0, 90), partial(self._repeat_record, deal, deal.stage))
        if not deal.is_closed:
            self._accompany(deal)
            if not deal.stalled:
                self._schedule_step(deal)
            return
        if deal.client is not None:
            if deal.stage.semantics == "S":
                self._book.remember_sale(deal.client)
            else:
                deal.client.lost += 1
        if not deal.stalled and self._engine.chance(REOPEN_CHANCE):
            self._engine.at(to_working_time(self._engine.now + self._engine.days(12)), partial(self.reopen, deal))

    def _repeat_record(self, deal: Deal, stage: Stage) -> None:
        if not self._gone(deal) and deal.stage is stage:
            self._record(deal, MOVED if stage.semantics == "P" else FINISHED)
            self._engine.touch(deal.row, deal.user)

    # other changes

    def reopen(self, deal: Deal) -> None:
        """Bring a closed deal back into work."""
        removed_at = deal.pipeline.removed_at
        if self._gone(deal) or not deal.is_closed or (removed_at is not None and self._engine.now >= removed_at):
            return
        self._move(deal, self._engine.pick(deal.pipeline.living_path(self._engine.now)))
        if not deal.stalled:
            self._schedule_step(deal)

    def win(self, deal: Deal) -> None:
        """Close an open deal with success."""
        if not self._gone(deal) and not deal.is_closed:
            self._move(deal, deal.pipeline.won)
            self._after_move(deal)

    def step_back(self, deal: Deal) -> None:
        """Move an open deal to the stage before its own."""
        if not self._gone(deal) and not deal.is_closed:
            self._move(deal, self._neighbour(deal, -1))

    def edit(self, deal: Deal) -> None:
        """Change something that is not the stage: amount, rows, responsible, a date, a custom field."""
        if not self._engine.exists("deals", deal.id):
            return
        change = self._engine.pick(
            (self.change_amount, self.change_amount, self.reassign, self.change_field, self._plan)
        )
        change(deal)

    def change_amount(self, deal: Deal) -> None:
        """Change the product rows, or the amount where nothing binds it to them."""
        if self.products.has_rows(deal.id):
            total = self.products.change(deal.id, RATES[deal.row["CURRENCY_ID"]])
            if deal.row["IS_MANUAL_OPPORTUNITY"] == "N":
                deal.amount = total
        else:
            factor = Decimal(self._engine.pick(("0.8", "0.9", "1.1", "1.25")))
            deal.amount = hundredths(deal.amount * factor)
        self._show_amount(deal)
        self._engine.touch(deal.row, deal.user)

    def reassign(self, deal: Deal) -> None:
        """Give the deal to another seller of its team."""
        deal.seller = self._staff.responsible(deal.pipeline.team)
        deal.row["ASSIGNED_BY_ID"] = deal.seller.user_id
        self._engine.touch(deal.row, self._staff.director)

    def change_field(self, deal: Deal) -> None:
        """Give one custom field a new value."""
        self._fields.change_one("deals", deal.row)
        self._engine.touch(deal.row, deal.user)

    def _plan(self, deal: Deal) -> None:
        deal.row["CLOSEDATE"] = date_stamp(local_day(self._engine.now) + self._engine.rng.randint(3, 45))
        self._engine.touch(deal.row, deal.user)

    def restore(self, old_id: int, row: Row, product_rows: Iterable[Row]) -> int:
        """Create a deleted deal anew, as it last was, and return its id; its history begins now."""
        old = self.deals[old_id]
        deal_id = self._engine.add("deals", row, gaps=False)
        deal = replace(old, id=deal_id, row=row)
        self.deals[deal_id] = deal
        self.products.take_over(deal_id, product_rows)
        self._record(deal, CREATED)
        if not deal.is_closed and not deal.stalled:
            self._schedule_step(deal)
        return deal_id

    # what happens beside the row

    def subject(self, deal: Deal) -> Subject:
        """Return the deal as the subject of a call, an e-mail or a task."""
        client = deal.client
        bindings: list[tuple[int, int]] = []
        if client and client.contact_id:
            bindings.append((CONTACT, client.contact_id))
        if client and client.company_id:
            bindings.append((COMPANY, client.company_id))
        return Subject(DEAL, deal.id, tuple(bindings), client.phone if client else "", deal.user, deal.row["TITLE"])

    def _accompany(self, deal: Deal, *, first: bool = False) -> None:
        for _ in range(self._engine.rng.choices((0, 1, 2), (52, 36, 12))[0]):
            moment = to_working_time(self._engine.now + self._engine.rng.randint(5 * MINUTE_S, 40 * HOUR_S))
            self._engine.at(moment, partial(self._talk_about, deal))
        if self._engine.chance(0.28):
            self._engine.after(self._engine.rng.randint(5, 300) * MINUTE_S, partial(self.give_task, deal))
        if first and self._engine.chance(0.02):
            self._engine.after(HOUR_S, partial(self._announce, deal))

    def _talk_about(self, deal: Deal) -> None:
        if self._engine.exists("deals", deal.id):
            self._talk.conversation(self.subject(deal))

    def give_task(self, deal: Deal) -> None:
        """Create a task on the deal."""
        if self._engine.exists("deals", deal.id):
            self._tasks.for_deal(self.subject(deal))

    def _announce(self, deal: Deal) -> None:
        if self._engine.exists("deals", deal.id):
            self._talk.info_call(self.subject(deal))
