"""Smart invoices of deals, and the payments that orders of these deals receive, return and owe."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from functools import partial

from demo.world.clock import DAY_S, HOUR_S, portal_stamp, to_working_time
from demo.world.deals import Deal
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.item_fields import ItemFields
from demo.world.item_rows import ItemRows
from demo.world.model import Row
from demo.world.portal_setup import Stage
from demo.world.products import ProductRows, hundredths, number
from demo.world.quirks import GLUED_PHONES
from demo.world.staged_items import (
    CREATED,
    FINISHED,
    MOVED,
    ItemHistory,
    client_columns,
    common_columns,
    date_columns,
    move,
    stage_columns,
    touch,
    write_pipeline,
)

TYPE_ID, CATEGORY, OWNER = 31, 11, "SI"
STAGES = (
    Stage("N", "Новый", 10, "P", True),
    Stage("S", "Отправлен клиенту", 20, "P", True),
    Stage("UC_INVAGR", "Согласован к оплате", 30, "P"),
    Stage("P", "Оплачен", 40, "S", True),
    Stage("D", "Не оплачен", 50, "F", True),
)
AT_INVOICE_STAGE, AT_WIN = 0.25, 0.42  # chances of an invoice; together about a half of the won deals have one
PAY_SYSTEMS = ((6, "Банковский перевод"), (6, "Банковский перевод"), (8, "Карта онлайн"), (3, "Наличные"))
RETURN_CHANCE = 0.05
FIRST_PAYMENT_ID = 1036
LATEST, LATEST_WON = 200, 30


class InvoiceDesk:
    """Creates invoices and lives them through."""

    def __init__(
        self,
        engine: Engine,
        history: ItemHistory,
        deal_rows: ProductRows,
        rows: ItemRows,
        fields: ItemFields,
        own_companies: list[int],
    ) -> None:
        """Write the stages, and wait for deals to move."""
        self._engine = engine
        self._dice = Dice(engine.seed, "invoices")
        self._history = history
        self._deal_rows = deal_rows
        self._rows = rows
        self._fields = fields
        self._own_companies = own_companies
        self._table = engine.tables["smart_invoices"]
        self._won: deque[Deal] = deque(maxlen=LATEST_WON)
        self._cashier = Cashier(engine)
        pipeline = write_pipeline(engine, TYPE_ID, "SMART_INVOICE", CATEGORY, "Общая", STAGES)
        self._new, self._sent, self._agreed, self._paid, self._unpaid = pipeline
        self._semantics = {stage.code: stage.semantics for stage in pipeline}
        engine.hear("deal moved", self._on_move)

    def one_day(self) -> None:
        """Make sure that an invoice is written, one edited, one paid, and money returned on this day."""
        latest = list(self._table.rows)[-LATEST:]
        waiting = [row_id for row_id in latest if self._is_open(self._table.rows[row_id])]
        if latest:
            row = self._table.rows[self._dice.pick(latest)]
            self._fields.change_one("CRM_SMART_INVOICE", row)
            touch(self._engine, row)
        for stage in (self._paid, self._unpaid)[: len(waiting)]:
            self._move(waiting.pop(int(self._dice.rng.random() * len(waiting))), stage)
        if self._won:
            self._write(self._dice.pick(self._won))
        self._cashier.one_day()

    def _on_move(self, deal: Deal) -> None:
        if "INVOICE" in deal.stage.code:
            chance = AT_INVOICE_STAGE
        elif deal.stage.semantics == "S":
            chance = AT_WIN
            self._won.append(deal)
        else:
            return
        if self._dice.chance(chance):
            self._engine.after(self._dice.number(5, 240) * 60, partial(self._write, deal))

    def _write(self, deal: Deal) -> None:
        if not self._engine.exists("deals", deal.id):
            return
        user, source = deal.user, deal.row
        advance = self._dice.chance(0.15)  # an invoice for half of the amount
        row: Row = {
            **common_columns(self._engine, TYPE_ID, "", user),
            **stage_columns(self._engine, user, CATEGORY, self._new),
            **date_columns(self._engine, self._dice),
            **client_columns(source),
            "observers": [],
            "opportunity": 0,
            "isManualOpportunity": "N",
            "taxValue": 0,
            "currencyId": source["CURRENCY_ID"],
            "mycompanyId": self._dice.pick(self._own_companies),
            "sourceId": source["SOURCE_ID"],
            "sourceDescription": source["SOURCE_DESCRIPTION"],
            "comments": self._dice.pick((None, "", "оплата по договору;\nсм. спецификацию")),
            "accountNumber": "",
            "locationId": None,
            "parentId2": deal.id,
            "parentId7": None,
        }
        row["id"] = self._table.add(row)
        row["accountNumber"] = str(row["id"]) if self._dice.chance(0.8) else f"СЧ-{row['id']:05d}"
        row["title"] = f"Счёт №{row['accountNumber']}"
        lines = self._deal_rows.of_deal(deal.id)
        if lines and not advance:
            amount = self._rows.copy((OWNER, row["id"]), lines)
        else:
            row["isManualOpportunity"] = "Y"
            amount = hundredths(deal.amount / 2) if advance else deal.amount
        if source["OPPORTUNITY"] == GLUED_PHONES:
            amount = Decimal(100)
        row["opportunity"], row["taxValue"] = number(amount), number(hundredths(amount / 6))
        row |= self._fields.values("CRM_SMART_INVOICE")
        self._record(row, CREATED)
        self._plan(0.3, partial(self._move, row["id"], self._sent))
        if self._dice.chance(0.25):
            self._plan(2.0, partial(self._move, row["id"], self._agreed))
        roll = self._dice.rng.random()
        if roll < 0.85:
            self._plan(6.0, partial(self._move, row["id"], self._paid))
        elif roll < 0.93:
            self._plan(30.0, partial(self._move, row["id"], self._unpaid))

    def _is_open(self, row: Row) -> bool:
        return self._semantics[row["stageId"]] == "P"

    def _plan(self, days: float, action: partial[None]) -> None:
        self._engine.at(to_working_time(self._engine.now + self._dice.days(days)), action)

    def _move(self, invoice_id: int, stage: Stage) -> None:
        row = self._table.rows.get(invoice_id)
        if row is None or not self._is_open(row) or row["stageId"] == stage.code:
            return
        move(self._engine, row, stage)
        self._record(row, MOVED if stage.semantics == "P" else FINISHED)
        if stage is self._paid:
            self._cashier.receive(row)
        elif stage is self._sent and self._dice.chance(0.1):
            self._cashier.expect(row)

    def _record(self, row: Row, kind: int) -> None:
        self._history.record("smart_invoice_stage_history", kind, row, self._semantics[row["stageId"]])


class Cashier:
    """Writes orders of deals and their payments."""

    def __init__(self, engine: Engine) -> None:
        """Begin with no orders."""
        self._engine = engine
        self._dice = Dice(engine.seed, "payments")
        self._table = engine.tables["payments"]
        self._table.last_id = FIRST_PAYMENT_ID - 1
        self._order_of: dict[int, int] = {}  # deal -> order
        self._payments: dict[int, int] = {}  # order -> number of its payments

    def receive(self, invoice: Row) -> None:
        """Let the client pay an invoice now, in one or two parts."""
        amount = Decimal(str(invoice["opportunity"]))
        if self._dice.chance(0.12):
            first = hundredths(amount * Decimal("0.3"))
            self._write(invoice, first, is_paid=True)
            rest = partial(self._write, invoice, amount - first, is_paid=True)
            self._engine.after(self._dice.number(1, 20) * DAY_S, rest)
        else:
            payment = self._write(invoice, amount, is_paid=True)
            if self._dice.chance(RETURN_CHANCE):
                self._engine.after(self._dice.days(9), partial(self._give_back, payment))

    def expect(self, invoice: Row) -> None:
        """Write a payment that nobody makes."""
        self._write(invoice, Decimal(str(invoice["opportunity"])), is_paid=False)

    def one_day(self) -> None:
        """Make sure that something is paid late, or money returned, on this day."""
        latest = list(self._table.rows)[-LATEST:]
        unpaid = [row_id for row_id in latest if self._table.rows[row_id]["paid"] == "N"]
        if unpaid:
            self._pay(self._table.rows[self._dice.pick(unpaid)])
        paid = [row_id for row_id in latest if self._table.rows[row_id]["isReturn"] == "N"]
        if paid:
            self._give_back(self._dice.pick(paid))

    def _write(self, invoice: Row, amount: Decimal, *, is_paid: bool) -> int:
        order = self._order(invoice["parentId2"])
        self._payments[order] = self._payments.get(order, 0) + 1
        system, name = self._dice.pick(PAY_SYSTEMS)
        row: Row = {
            "id": 0,
            "orderId": order,
            "accountNumber": f"{order}/{self._payments[order]}",
            "paid": "N",
            "datePaid": None,
            "empPaidId": None,
            "datePayBefore": None,
            "dateBill": portal_stamp(self._engine.now - self._dice.number(0, 20) * HOUR_S),
            "paySystemId": system,
            "paySystemName": name,
            "paySystemIsCash": "Y" if name == "Наличные" else "N",
            "sum": number(amount),
            "currency": invoice["currencyId"],
            "priceCod": "0.000000",
            "isReturn": "N",
            "payReturnDate": None,
            "payReturnNum": "",
            "psStatus": None,
            "psSum": None,
            "marked": "N",
            "responsibleId": invoice["assignedById"],
            "companyId": invoice["mycompanyId"],
            "comments": "",
            "xmlId": f"bx_{self._dice.rng.getrandbits(52):013x}",
        }
        row["id"] = self._table.add(row)
        if is_paid:
            self._pay(row)
        return int(row["id"])

    def _pay(self, row: Row) -> None:
        row |= {"paid": "Y", "datePaid": portal_stamp(self._engine.now), "empPaidId": row["responsibleId"]}
        if row["paySystemId"] == 8:
            row |= {"psStatus": "Y", "psSum": row["sum"]}

    def _give_back(self, payment_id: int) -> None:
        row = self._table.rows.get(payment_id)
        if row is not None and row["paid"] == "Y":
            row |= {"isReturn": "Y", "payReturnDate": portal_stamp(self._engine.now)}

    def _order(self, deal_id: int) -> int:
        if deal_id not in self._order_of:
            table = self._engine.tables["order_entities"]
            self._order_of[deal_id] = table.add({"orderId": 0, "ownerId": deal_id, "ownerTypeId": 2})
            table.rows[table.last_id]["orderId"] = table.last_id
        return self._order_of[deal_id]
