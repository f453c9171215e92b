"""Smart processes: purchases with stages and products, support tickets in two lines, contracts without stages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from demo.world.clock import DAY_S, MINUTE_S, portal_stamp, to_working_time
from demo.world.deals import Deal
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.item_fields import ItemFields
from demo.world.item_rows import ItemRows
from demo.world.model import Row, Table
from demo.world.portal_setup import Stage
from demo.world.products import ProductRows, number
from demo.world.staff import Staff
from demo.world.staged_items import (
    CREATED,
    FINISHED,
    MOVED,
    PIPELINE_CHANGED,
    ItemHistory,
    client_columns,
    common_columns,
    date_columns,
    move,
    stage_columns,
    touch,
    write_pipeline,
    write_plain_category,
)

FLAGS = (
    "isCategoriesEnabled",
    "isStagesEnabled",
    "isBeginCloseDatesEnabled",
    "isClientEnabled",
    "isUseInUserfieldEnabled",
    "isLinkWithProductsEnabled",
    "isMycompanyEnabled",
    "isDocumentsEnabled",
    "isSourceEnabled",
    "isObserversEnabled",
    "isRecyclebinEnabled",
    "isAutomationEnabled",
    "isBizProcEnabled",
    "isSetOpenPermissions",
    "isPaymentsEnabled",
    "isCountersEnabled",
)
REOPEN_CHANCE, ESCALATION_CHANCE = 0.06, 0.12
LATEST = 150
TICKET_TITLES = ("Не включается насос", "Нет закрывающих документов", "Где моя поставка? 😡", "Вопрос")
SETTING_UP_S = 3 * DAY_S


@dataclass(frozen=True)
class ProcessType:
    """A smart process as an administrator set it up.

    Attributes:
        id: of the type; custom fields are named after it. type_id: `entityTypeId`.
        categories: (id, name) of the pipelines; one that is only a number stands for a type without pipelines.
        off: which of FLAGS are switched off.
    """

    id: int
    type_id: int
    title: str
    categories: tuple[tuple[int, str], ...]
    stages: tuple[Stage, ...]
    off: tuple[str, ...]

    @property
    def owner(self) -> str:
        """Return the short code under which product rows know the type."""
        return f"T{self.type_id:x}"

    @property
    def fields_of(self) -> str:
        """Return the entity of the type's custom fields."""
        return f"CRM_{self.id}"

    @property
    def items(self) -> str:
        """Return the name of the table of its items."""
        return f"process_items_{self.type_id}"

    @property
    def history(self) -> str:
        """Return the name of the table of their moves."""
        return f"process_stage_history_{self.type_id}"


def _stages(*names: str) -> tuple[Stage, ...]:
    codes = (("NEW", "P"), ("PREPARATION", "P"), ("CLIENT", "P"), ("SUCCESS", "S"), ("FAIL", "F"))
    return tuple(
        Stage(code, name, place * 10, semantics, True)
        for place, ((code, semantics), name) in enumerate(zip(codes, names, strict=True), 1)
    )


PURCHASES = ProcessType(
    1,
    128,
    "Закупки",
    ((13, "Общая"),),
    _stages("Новая", "Запрос поставщику", "В пути", "Принято на склад", "Отменено"),
    ("isObserversEnabled", "isPaymentsEnabled"),
)
TICKETS = ProcessType(
    2,
    1036,
    "Обращения в поддержку",
    ((15, "Первая линия"), (17, "Вторая линия")),
    _stages("Новое", "В работе", "Ждём клиента", "Решено", "Отклонено"),
    ("isLinkWithProductsEnabled", "isMycompanyEnabled", "isPaymentsEnabled"),
)
CONTRACTS = ProcessType(
    4,
    1044,
    "Договоры",
    ((19, ""),),
    (),
    (
        "isCategoriesEnabled",
        "isStagesEnabled",
        "isLinkWithProductsEnabled",
        "isSourceEnabled",
        "isPaymentsEnabled",
        "isAutomationEnabled",
    ),
)
TYPES = (PURCHASES, TICKETS, CONTRACTS)


class ProcessDesk:
    """Creates items of all smart processes and lives them through."""

    def __init__(
        self,
        engine: Engine,
        history: ItemHistory,
        staff: Staff,
        deal_rows: ProductRows,
        rows: ItemRows,
        fields: ItemFields,
    ) -> None:
        """Write the types with their stages, and wait for deals."""
        self._engine = engine
        self._dice = Dice(engine.seed, "processes")
        self._history = history
        self._staff = staff
        self._deal_rows = deal_rows
        self._rows = rows
        self._fields = fields
        self._stages: dict[int, tuple[Stage, ...]] = {}  # by category
        for kind in TYPES:
            engine.tables[kind.items] = Table(kind.items)
            engine.tables["process_types"].put(kind.id, self._type_row(kind))
            if not kind.stages:
                write_plain_category(engine, kind.categories[0][0])
                continue
            engine.tables[kind.history] = Table(kind.history)
            for category, name in kind.categories:
                entity = f"DYNAMIC_{kind.type_id}"
                self._stages[category] = write_pipeline(engine, kind.type_id, entity, category, name, kind.stages)
        engine.hear("deal created", self._on_deal)
        engine.hear("deal moved", self._on_move)

    def one_day(self) -> None:
        """Make sure that items of each type arrive, move and are edited on this day."""
        deals = list(self._engine.tables["deals"].rows)[-LATEST:]
        for kind in TYPES:
            latest = list(self._engine.tables[kind.items].rows)[-LATEST:]
            if deals:
                self._write(kind, self._engine.tables["deals"].rows[self._dice.pick(deals)])
            if not latest:
                continue
            row = self._engine.tables[kind.items].rows[self._dice.pick(latest)]
            self._fields.change_one(kind.fields_of, row)
            touch(self._engine, row)
            if self._rows.has_rows((kind.owner, row["id"])):
                self._show_amount(row, kind, change=True)
            if kind.stages:
                self._move_some(kind, latest)

    def _move_some(self, kind: ProcessType, latest: list[int]) -> None:
        rows = [self._engine.tables[kind.items].rows[row_id] for row_id in latest]
        waiting = [row for row in rows if self._stage(row).semantics == "P"]
        finished = [row for row in rows if self._stage(row).semantics != "P"]
        if waiting:
            self._finish(kind, self._dice.pick(waiting)["id"])
        if finished:
            self._reopen(kind, self._dice.pick(finished)["id"])

    def _on_deal(self, deal: Deal) -> None:
        roll = self._dice.rng.random()
        if roll < 0.1 and deal.client is not None:  # a client who buys has something to complain about
            self._plan(3, partial(self._begin, TICKETS, deal))

    def _on_move(self, deal: Deal) -> None:
        if deal.stage.semantics == "S":
            if self._dice.chance(0.12):
                self._plan(1, partial(self._begin, CONTRACTS, deal))
            if self._dice.chance(0.1):
                self._plan(20, partial(self._begin, TICKETS, deal))
        elif deal.stage.code.endswith("EXECUTING") and self._dice.chance(0.12):
            self._plan(0.5, partial(self._begin, PURCHASES, deal))

    def _begin(self, kind: ProcessType, deal: Deal) -> None:
        if self._engine.exists("deals", deal.id):
            self._write(kind, deal.row)

    def _write(self, kind: ProcessType, source: Row) -> None:
        user = self._user(kind, source)
        table = self._engine.tables[kind.items]
        category = kind.categories[0][0]
        row: Row = {
            **common_columns(self._engine, kind.type_id, self._title(kind, source), user),
            **({"categoryId": category} if not kind.stages else {}),
            **(stage_columns(self._engine, user, category, self._stages[category][0]) if kind.stages else {}),
            **date_columns(self._engine, self._dice),
            **client_columns(source),
            **dict.fromkeys(("parentId1", "parentId7", "parentId31")),
            "parentId2": int(source["ID"]) if kind is not TICKETS or self._dice.chance(0.6) else None,
        }
        if "isSourceEnabled" not in kind.off:
            row |= {"sourceId": self._dice.pick(("CALL", "EMAIL", None)), "sourceDescription": None}
        if "isObserversEnabled" not in kind.off:
            row["observers"] = [int(self._dice.pick(self._staff.user_ids))] if self._dice.chance(0.2) else []
        if "isMycompanyEnabled" not in kind.off:
            row["mycompanyId"] = 0
        row["id"] = table.add(row)
        if "isLinkWithProductsEnabled" not in kind.off:
            row |= {"isManualOpportunity": "N", "currencyId": source["CURRENCY_ID"]}
            lines = self._deal_rows.of_deal(int(source["ID"]))
            if lines:
                self._rows.copy((kind.owner, row["id"]), lines)
            self._show_amount(row, kind, change=False)
        row |= self._fields.values(kind.fields_of)
        if kind.stages:
            self._record(kind, row, CREATED)
            self._live(kind, row["id"])

    def _show_amount(self, row: Row, kind: ProcessType, *, change: bool) -> None:
        owner = (kind.owner, row["id"])
        total = self._rows.change(owner) if change else self._rows.total(owner)
        row["opportunity"], row["taxValue"] = number(total), 0

    def _live(self, kind: ProcessType, item_id: int) -> None:
        pace = 0.4 if kind is TICKETS else 4.0
        if self._dice.chance(0.06):
            return  # nobody takes it up
        self._plan(pace, partial(self._advance, kind, item_id, 1))
        if self._dice.chance(0.35):
            self._plan(pace * 2, partial(self._advance, kind, item_id, 2))
        if kind is TICKETS and self._dice.chance(ESCALATION_CHANCE):
            self._plan(pace * 1.5, partial(self._escalate, item_id))
        if self._dice.chance(0.93):
            self._plan(pace * 4, partial(self._finish, kind, item_id))

    def _advance(self, kind: ProcessType, item_id: int, step: int) -> None:
        row = self._engine.tables[kind.items].rows.get(item_id)
        if row is None or self._stage(row).semantics != "P":
            return
        stages = self._stages[row["categoryId"]]
        if stages.index(self._stage(row)) < step:
            self._move(kind, row, stages[step])

    def _escalate(self, item_id: int) -> None:
        """Hand a ticket over to the second line, which is another pipeline."""
        row = self._engine.tables[TICKETS.items].rows.get(item_id)
        second = TICKETS.categories[1][0]
        if row is None or row["categoryId"] == second or self._stage(row).semantics != "P":
            return
        row["categoryId"] = second
        move(self._engine, row, self._stages[second][0])
        self._record(TICKETS, row, PIPELINE_CHANGED)
        self._move(TICKETS, row, self._stages[second][1])

    def _finish(self, kind: ProcessType, item_id: int) -> None:
        row = self._engine.tables[kind.items].rows.get(item_id)
        if row is None or self._stage(row).semantics != "P":
            return
        self._move(kind, row, self._stages[row["categoryId"]][3 if self._dice.chance(0.88) else 4])
        if self._dice.chance(REOPEN_CHANCE):
            self._plan(3, partial(self._reopen, kind, item_id))

    def _reopen(self, kind: ProcessType, item_id: int) -> None:
        row = self._engine.tables[kind.items].rows.get(item_id)
        if row is not None and self._stage(row).semantics != "P":
            self._move(kind, row, self._stages[row["categoryId"]][1])
            self._plan(2, partial(self._finish, kind, item_id))

    def _move(self, kind: ProcessType, row: Row, stage: Stage) -> None:
        move(self._engine, row, stage)
        self._record(kind, row, MOVED if stage.semantics == "P" else FINISHED)

    def _stage(self, row: Row) -> Stage:
        return next(stage for stage in self._stages[row["categoryId"]] if stage.code == row["stageId"])

    def _record(self, kind: ProcessType, row: Row, entry: int) -> None:
        self._history.record(kind.history, entry, row, self._stage(row).semantics)

    def _plan(self, days: float, action: partial[None]) -> None:
        wait = self._dice.days(days) + self._dice.number(1, 50) * MINUTE_S
        self._engine.at(to_working_time(self._engine.now + wait), action)

    def _user(self, kind: ProcessType, source: Row) -> str:
        if kind is TICKETS:
            return self._dice.pick([seller.user_id for seller in self._staff.sellers["service"]])
        return source["ASSIGNED_BY_ID"] or "0"

    def _title(self, kind: ProcessType, source: Row) -> str:
        if kind is TICKETS:
            return self._dice.pick(TICKET_TITLES)
        return f"{'Закупка под' if kind is PURCHASES else 'Договор:'} {source['TITLE']}"

    def _type_row(self, kind: ProcessType) -> Row:
        created = portal_stamp(self._engine.now - SETTING_UP_S)
        return {
            "id": kind.id,
            "entityTypeId": kind.type_id,
            "title": kind.title,
            "code": "",
            "createdBy": 1,
            "customSectionId": None,
            "createdTime": created,
            "updatedTime": created,
            "updatedBy": 1,
            **{flag: "N" if flag in kind.off else "Y" for flag in FLAGS},
        }
