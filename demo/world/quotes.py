"""Quotes: offers to the client of a deal, accepted or declined with it."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from functools import partial

from demo.world.channels import UTM_FIELDS
from demo.world.clock import DAY_S, date_stamp, local_day, portal_stamp, to_working_time
from demo.world.deals import Deal
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.item_fields import ItemFields
from demo.world.item_rows import ItemRows
from demo.world.model import Row
from demo.world.portal_setup import Stage, stage_row
from demo.world.products import ProductRows, hundredths

STAGES = (
    Stage("DRAFT", "Черновик", 10, "P", True),
    Stage("SENT", "Отправлено клиенту", 20, "P", True),
    Stage("UC_AGREE1", "На согласовании", 30, "P"),
    Stage("APPROVED", "Принято", 40, "S", True),
    Stage("DECLAINED", "Отклонено", 50, "F", True),  # spelled so on every portal
    Stage("UC_QEXPIR", "Истёк срок", 60, "F"),
)
DRAFT, SENT, AGREED, APPROVED, DECLINED, EXPIRED = STAGES
QUOTES_PER_DEAL = 0.3
OWNER = "Q"
LATEST_DEALS = 40


class QuoteDesk:
    """Creates quotes and lives them through."""

    def __init__(
        self, engine: Engine, deal_rows: ProductRows, rows: ItemRows, fields: ItemFields, own_companies: list[int]
    ) -> None:
        """Write the stages, and wait for deals."""
        self._engine = engine
        self._dice = Dice(engine.seed, "quotes")
        self._deal_rows = deal_rows
        self._rows = rows
        self._fields = fields
        self._own_companies = own_companies
        self._table = engine.tables["quotes"]
        self._latest: deque[Deal] = deque(maxlen=LATEST_DEALS)
        self._open: dict[int, list[int]] = {}  # deal -> its quotes in work
        for stage in STAGES:
            row = stage_row("QUOTE_STATUS", stage, None)
            row["ID"] = str(engine.tables["statuses"].add(row))
        engine.hear("deal created", self._on_deal)
        engine.hear("deal moved", self._on_move)

    def write(self, deal: Deal) -> None:
        """Write a quote for a deal."""
        if not self._engine.exists("deals", deal.id):
            return
        row = self._row(deal)
        quote_id = self._table.add(row, step=2 if self._dice.chance(0.03) else 1)
        row["ID"] = str(quote_id)
        row["QUOTE_NUMBER"] = str(quote_id) if self._dice.chance(0.9) else f"КП-{quote_id}/{deal.id}"
        source = self._deal_rows.of_deal(deal.id)
        amount = self._rows.copy((OWNER, quote_id), source) if source else deal.amount
        self._show_amount(row, amount)
        row |= self._fields.values("CRM_QUOTE")
        self._open.setdefault(deal.id, []).append(quote_id)
        for stage, days in ((SENT, 0.6), (AGREED, 4.0)):
            if stage is SENT or self._dice.chance(0.3):
                self._plan(days, partial(self._move, quote_id, stage))
        if self._dice.chance(0.12):
            self._plan(40, partial(self._move, quote_id, EXPIRED))

    def one_day(self) -> None:
        """Make sure that quotes are written, edited and decided on this day."""
        latest = list(self._table.rows)[-200:]
        waiting = [row_id for row_id in latest if self._table.rows[row_id]["CLOSED"] == "N"]
        for row_id, act in zip(
            self._dice.rng.sample(latest, min(2, len(latest))), (self._edit, self._change_rows), strict=False
        ):
            act(row_id)
        if self._latest:
            self.write(self._dice.pick(self._latest))
        if waiting:
            self._move(self._dice.pick(waiting), self._dice.pick((APPROVED, DECLINED)))

    def _on_deal(self, deal: Deal) -> None:
        self._latest.append(deal)
        if self._dice.chance(QUOTES_PER_DEAL):
            self._plan(1.5, partial(self.write, deal))

    def _on_move(self, deal: Deal) -> None:
        if not deal.is_closed:
            return
        for quote_id in self._open.get(deal.id, ()):
            if deal.stage.semantics == "S":
                stage = APPROVED if self._dice.chance(0.93) else EXPIRED
            else:
                stage = DECLINED if self._dice.chance(0.8) else EXPIRED
            if self._dice.chance(0.9):
                self._engine.after(self._dice.number(60, DAY_S), partial(self._move, quote_id, stage))

    def _plan(self, days: float, action: partial[None]) -> None:
        self._engine.at(to_working_time(self._engine.now + self._dice.days(days)), action)

    def _move(self, quote_id: int, stage: Stage) -> None:
        row = self._table.rows.get(quote_id)
        if row is None or row["CLOSED"] == "Y":
            return
        row["STATUS_ID"] = stage.code
        if stage.semantics != "P":
            row["CLOSED"] = "Y"
            quotes = self._open.get(int(row["DEAL_ID"]), [])
            if quote_id in quotes:
                quotes.remove(quote_id)
        self._touch(row)

    def _edit(self, quote_id: int) -> None:
        row = self._table.rows[quote_id]
        self._fields.change_one("CRM_QUOTE", row)
        self._touch(row)

    def _change_rows(self, quote_id: int) -> None:
        row = self._table.rows[quote_id]
        if self._rows.has_rows((OWNER, quote_id)):
            self._show_amount(row, self._rows.change((OWNER, quote_id)))
        else:
            self._show_amount(row, hundredths(Decimal(row["OPPORTUNITY"]) * Decimal("0.95")))
        self._touch(row)

    def _touch(self, row: Row) -> None:
        row["DATE_MODIFY"] = portal_stamp(self._engine.now)
        row["MODIFY_BY_ID"] = row["ASSIGNED_BY_ID"]

    @staticmethod
    def _show_amount(row: Row, amount: Decimal) -> None:
        row["OPPORTUNITY"], row["TAX_VALUE"] = f"{amount:.2f}", f"{hundredths(amount / 6):.2f}"

    def _row(self, deal: Deal) -> Row:
        now, today = portal_stamp(self._engine.now), local_day(self._engine.now)
        source, user = deal.row, deal.user
        return {
            "ID": "",
            "QUOTE_NUMBER": "",
            "TITLE": f"КП: {source['TITLE']}",
            "STATUS_ID": DRAFT.code,
            "CURRENCY_ID": source["CURRENCY_ID"],
            "OPPORTUNITY": "0.00",
            "TAX_VALUE": "0.00",
            "COMPANY_ID": source["COMPANY_ID"],
            "MYCOMPANY_ID": str(self._own_companies[0]) if self._dice.chance(0.8) else None,
            "CONTACT_ID": source["CONTACT_ID"],
            "BEGINDATE": date_stamp(today),
            "CLOSEDATE": date_stamp(today + self._dice.number(10, 45)),
            "ACTUAL_DATE": date_stamp(today + 30) if self._dice.chance(0.5) else "",
            "OPENED": "Y",
            "CLOSED": "N",
            "COMMENTS": self._dice.pick((None, "", "срок поставки 30 дней;\n«с НДС»")),
            "CONTENT": None,
            "TERMS": self._dice.pick((None, "Оплата 50/50")),
            "CLIENT_TITLE": deal.client.name if deal.client else None,
            "CLIENT_ADDR": None,
            "CLIENT_CONTACT": None,
            "CLIENT_EMAIL": deal.client.email if deal.client else None,
            "CLIENT_PHONE": deal.client.phone if deal.client else None,
            "ASSIGNED_BY_ID": user,
            "CREATED_BY_ID": user,
            "MODIFY_BY_ID": user,
            "DATE_CREATE": now,
            "DATE_MODIFY": now,
            "LEAD_ID": source["LEAD_ID"],
            "DEAL_ID": str(deal.id),
            "PERSON_TYPE_ID": "1" if deal.client and deal.client.company_id else "2",
            "LOCATION_ID": None,
            **{name: source[name] for name in UTM_FIELDS},
            "LAST_ACTIVITY_TIME": now,
            "LAST_ACTIVITY_BY": user,
        }
