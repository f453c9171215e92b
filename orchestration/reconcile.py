"""`b24 reconcile`: counts and sums asked from the portal itself, beside the marts, each difference with its reason."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from rich.markup import escape
from rich.table import Table

from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.entities import ENTITIES
from dlt_sources.bitrix24.walks import KeysetWalk, Reader
from orchestration.console import console, grouped, print_wide
from orchestration.report import Reporter
from orchestration.survey import Question, count_there, survey_portal
from warehouse.duckdb_file import open_warehouse
from warehouse.errors import WarehouseError
from warehouse.ledger import Ledger
from warehouse.rules import load_rules
from warehouse.settings import Settings

COLUMNS = {
    "deals": (
        "ID", "CATEGORY_ID", "STAGE_ID", "STAGE_SEMANTIC_ID", "OPPORTUNITY", "CURRENCY_ID", "CLOSEDATE", "DATE_CREATE",
        "DATE_MODIFY", "ASSIGNED_BY_ID", "TITLE", "IS_RECURRING",
    ),
    "leads": ("ID", "DATE_CREATE", "DATE_MODIFY", "ASSIGNED_BY_ID", "TITLE"),
}  # fmt: skip
IDS_AT_ONCE = 50  # in one filter
WIDE = Context(prec=100)
TOO_LARGE = Decimal(10) ** 16  # for DECIMAL(18,2)

CHANGED = "изменено в портале после загрузки"
GONE = "удалено в портале после загрузки"
HIDDEN = "удалено в портале или не видно вебхуку: он не администратор (R16)"
RECURRING = "шаблон регулярной сделки"
PIPELINE = "воронка исключена правилом excluded_category_ids"
USER = "ответственный исключён правилом excluded_user_ids"
TITLE = "проверочное название: правило test_title_regex"
OTHER_RULE = "правила изменились после сборки: b24 build"
MOVED = "перешла в успешную стадию не в том месяце, что в поле «Дата завершения» (R11)"
CONVERTED = "пересчёт в валюту отчётов по курсу дня"
OUT_OF_RANGE = "сумма в карточке невозможна (номер телефона?) и не считается"
OTHER_STAGES = "стадии, которых в портале уже нет"
BASIS = "выручка считается по оплатам: правило revenue_basis"
MISSING = "БЕЗ ОБЪЯСНЕНИЯ: нет в загруженных данных; проверьте b24 verify"
TOMBSTONE = "БЕЗ ОБЪЯСНЕНИЯ: здесь помечено удалённым; проверьте b24 verify"
UNEXPLAINED = "БЕЗ ОБЪЯСНЕНИЯ: в портале и здесь записано разное; проверьте b24 verify"
NO_REASONS = {MISSING, TOMBSTONE, UNEXPLAINED}


class Effect(NamedTuple):
    """What one reason does: rows that only the marts count, rows that only the portal shows, marts minus portal."""

    only_here: int
    only_there: int
    amount: Decimal

    @property
    def rows(self) -> int:
        """Marts minus portal."""
        return self.only_here - self.only_there


@dataclass
class Line:
    """One figure, there and here."""

    what: str
    pipeline: str
    stage: str
    portal: Decimal
    marts: Decimal
    reasons: dict[str, Effect] = field(default_factory=dict)
    is_money: bool = False

    @property
    def difference(self) -> Decimal:
        """Marts minus portal."""
        return self.marts - self.portal

    @property
    def unexplained(self) -> Decimal:
        """What no reason accounts for; 0 when the reasons add up and none of them says that it is none."""
        known = sum(
            (
                effect.amount if self.is_money else Decimal(effect.rows)
                for reason, effect in self.reasons.items()
                if reason not in NO_REASONS
            ),
            Decimal(0),
        )
        return self.difference - known

    @property
    def is_explained(self) -> bool:
        """Whether nothing is left over."""
        return not self.unexplained and not self.reasons.keys() & NO_REASONS

    def to_dict(self) -> dict[str, Any]:
        """The line as plain values, for JSON."""
        return asdict(self) | {
            "reasons": {name: effect._asdict() for name, effect in self.reasons.items()},
            "difference": self.difference,
            "unexplained": self.unexplained,
        }


class Here(NamedTuple):
    """A deal or lead as the warehouse has it."""

    id: int
    is_in_scope: bool
    is_deleted: bool
    pipeline_key: int | None
    manager_key: int
    title: str
    is_recurring: bool
    outcome: str
    won_date: date | None
    amount: Decimal
    currency: str
    revenue: Decimal


@dataclass
class Reconciliation:
    """The comparison of one month, and of all deals by stage as of now."""

    client: BitrixClient
    settings: Settings
    reporter: Reporter
    month: date
    pipeline: int | None = None
    is_admin: bool | None = True
    read: int = 0

    def __post_init__(self) -> None:
        self.rules = load_rules(self.settings.rules_path)
        self.as_of = Ledger(self.settings.warehouse_path).latest_run().as_of

    def run(self) -> list[Line]:
        """Ask, compare, explain.

        Raises:
            WarehouseError: there are no marts yet, or the pipeline is none of the portal's.
            BitrixError: the portal does not answer.
        """
        portal = survey_portal(self.client)
        self.is_admin = self._is_admin()
        pipelines = {
            int(row["id"]): str(row["name"])
            for row in portal.rows("pipelines")
            if row["entity_type_id"] == "2" and self.pipeline in (None, int(row["id"]))
        }
        if not pipelines:
            raise WarehouseError(f"The portal has no deal pipeline {self.pipeline}. `b24 configure` lists them.")
        lines = self._stages(pipelines, portal.rows("statuses"))
        lines += self._created(pipelines)
        for key, name in pipelines.items():
            lines += self._won(key, name)
        return lines

    def _is_admin(self) -> bool | None:
        admin = self.client.call("profile").result.get("ADMIN")
        return admin if isinstance(admin, bool) else None

    # counts

    def _stages(self, pipelines: Mapping[int, str], statuses: Iterable[Mapping[str, Any]]) -> list[Line]:
        """All deals by pipeline and stage, as they stand now."""
        entity_ids = {"DEAL_STAGE" if key == 0 else f"DEAL_STAGE_{key}": key for key in pipelines}
        stages = [
            (entity_ids[row["entity_id"]], str(row["status_id"]), str(row["name"]))
            for row in statuses
            if row["entity_id"] in entity_ids
        ]
        listed = {key: [stage for of, stage, _ in stages if of == key] for key in pipelines}
        cells: list[tuple[int, str, dict[str, Any], str, list[str]]] = [
            (key, name, {"CATEGORY_ID": key, "STAGE_ID": stage}, "in", [stage]) for key, stage, name in stages
        ]
        # a stage that was deleted may still hold deals
        cells += [
            (key, OTHER_STAGES, {"CATEGORY_ID": key, "!@STAGE_ID": known}, "not in", known)
            for key, known in listed.items()
            if known
        ]
        counts = self._count([Question("deals", where) for _, _, where, *_ in cells])
        lines = []
        for (key, name, where, within, known), there in zip(cells, counts, strict=True):
            ours = (
                "from core.fct_deals where is_in_scope and pipeline_key = ? "
                f"and stage_id {within} (select unnest(?::varchar[]))"
            )
            here = self._ask(f"select count(*) {ours}", [key, known])[0][0]
            line = Line("Сделки сейчас", pipelines[key], name, Decimal(there), Decimal(here))
            if line.difference:
                ids = [row[0] for row in self._ask(f"select deal_id {ours}", [key, known])]
                self._explain_rows(line, "deals", self._walk("deals", where), ids)
            lines.append(line)
        return lines

    def _created(self, pipelines: Mapping[int, str]) -> list[Line]:
        """What was created in the month: deals by pipeline, and leads."""
        zone = ZoneInfo(self.settings.reporting_tz)
        start, end = (datetime.combine(day, time.min, zone) for day in (self.month, _next(self.month)))
        span = {">=DATE_CREATE": start.isoformat(), "<DATE_CREATE": end.isoformat()}
        slices: list[tuple[str, str, str, dict[str, Any], str]] = [
            (f"Создано сделок за {self.month:%m.%Y}", "deals", name, span | {"CATEGORY_ID": key},
             f"select deal_id from core.fct_deals where is_in_scope and pipeline_key = {key} and {{month}}")
            for key, name in pipelines.items()
        ]  # fmt: skip
        if self.pipeline is None:
            leads = "select lead_id from core.fct_leads where is_in_scope and {month}"
            slices.append((f"Создано лидов за {self.month:%m.%Y}", "leads", "", span, leads))
        counts = self._count([Question(table, where) for _, table, _, where, _ in slices])
        lines = []
        for (what, table, name, where, sql), there in zip(slices, counts, strict=True):
            month = f"created_date >= date '{self.month}' and created_date < date '{_next(self.month)}'"
            ours = [row[0] for row in self._ask(sql.format(month=month))]
            line = Line(what, name, "", Decimal(there), Decimal(len(ours)))
            if line.difference:
                self._explain_rows(line, table, self._walk(table, where), ours)
            lines.append(line)
        return lines

    def _explain_rows(
        self, line: Line, table: str, there: Mapping[int, Mapping[str, Any]], ours: Sequence[int]
    ) -> None:
        """Name the reason of each row that is on one side only."""
        alone_there, alone_here = there.keys() - set(ours), sorted(set(ours) - there.keys())
        elsewhere = self._rows_of(table, alone_here)
        here = self._here(table, sorted(alone_there))
        for key in alone_there:
            _add(line.reasons, self._why_not_here(there[key], here.get(key)), -1, Decimal(0))
        for key in alone_here:
            _add(line.reasons, self._why_not_there(elsewhere.get(key)), 1, Decimal(0))
        # rows that came or went while the portal counted
        line.portal = Decimal(len(there))

    # sums

    def _won(self, key: int, name: str) -> list[Line]:
        """Won deals of the month: as the portal's reports see them, by their field CLOSEDATE, and as the marts."""
        first, last = self.month, _next(self.month) - timedelta(days=1)
        walked = self._walk(
            "deals",
            {
                "CATEGORY_ID": key, "STAGE_SEMANTIC_ID": "S",
                # a calendar date that is printed with some hour: cut by its own text below
                ">=CLOSEDATE": str(first - timedelta(days=1)), "<=CLOSEDATE": str(last + timedelta(days=2)),
            },
        )  # fmt: skip
        there = {id_: row for id_, row in walked.items() if self._is_in_month(row.get("CLOSEDATE"))}
        ours = [
            row[0]
            for row in self._ask(
                "select deal_id from core.fct_deals where is_in_scope and outcome = 'won' and pipeline_key = ? "
                "and won_date between ? and ?",
                [key, first, last],
            )
        ]
        deals_won, revenue = self._ask(
            "select coalesce(sum(deals_won), 0), coalesce(sum(revenue), 0) from marts.sales_dynamics "
            "where pipeline_key = ? and date_day between ? and ?",
            [key, first, last],
        )[0]
        amounts = {id_: _money(row.get("OPPORTUNITY")) for id_, row in there.items()}
        period = f"за {self.month:%m.%Y}"
        count = Line(f"Выиграно {period}", name, "", Decimal(len(there)), Decimal(deals_won))
        money = Line(
            f"Сумма выигранных {period}", name, "", sum(amounts.values(), Decimal(0)), Decimal(revenue), is_money=True
        )
        here = self._here("deals", sorted({*there, *ours}))
        elsewhere = self._rows_of("deals", sorted(set(ours) - there.keys()))
        for id_ in there.keys() - set(ours):
            reason = self._why_not_here(there[id_], here.get(id_), is_won=True)
            for line in (count, money):
                _add(line.reasons, reason, -1, -amounts[id_])
        for id_ in set(ours) - there.keys():
            reason = self._why_not_there(elsewhere.get(id_), is_won=True)
            for line in (count, money):
                _add(line.reasons, reason, 1, here[id_].revenue)
        for id_ in there.keys() & set(ours):
            if difference := here[id_].revenue - amounts[id_]:
                _add(money.reasons, self._why_other_amount(there[id_], here[id_]), 0, difference)
        if self.rules.revenue_basis != "deal_amount":
            money.reasons = {BASIS: Effect(0, 0, money.difference)}
        return [count, money]

    # reasons

    def _why_not_here(self, there: Mapping[str, Any], here: Here | None, *, is_won: bool = False) -> str:
        """Why the marts do not count a row that the portal shows."""
        if self._is_changed(there):
            return CHANGED
        if here is None:
            return MISSING
        if here.is_deleted:
            return TOMBSTONE
        if not here.is_in_scope:
            return self._rule(here)
        return MOVED if is_won and here.outcome == "won" and not self._is_in_month(here.won_date) else UNEXPLAINED

    def _why_not_there(self, there: Mapping[str, Any] | None, *, is_won: bool = False) -> str:
        """Why the portal does not show a row that the marts count."""
        if there is None:
            return GONE if self.is_admin else HIDDEN
        if self._is_changed(there):
            return CHANGED
        is_moved = there.get("STAGE_SEMANTIC_ID") == "S" and not self._is_in_month(there.get("CLOSEDATE"))
        return MOVED if is_won and is_moved else UNEXPLAINED

    def _is_in_month(self, day: Any) -> bool:
        return str(day)[:7] == f"{self.month:%Y-%m}"

    def _why_other_amount(self, there: Mapping[str, Any], here: Here) -> str:
        if self._is_changed(there):
            return CHANGED
        if abs(_money(there.get("OPPORTUNITY"))) >= TOO_LARGE:
            return OUT_OF_RANGE
        is_same = (_money(there.get("OPPORTUNITY")), there.get("CURRENCY_ID")) == (here.amount, here.currency)
        return CONVERTED if is_same and here.amount != here.revenue else UNEXPLAINED

    def _rule(self, here: Here) -> str:
        """The rule that leaves a row out."""
        if here.is_recurring:
            return RECURRING
        if here.pipeline_key in self.rules.excluded_category_ids:
            return PIPELINE
        if here.manager_key in self.rules.excluded_user_ids:
            return USER
        if self.rules.test_title_regex and re.search(self.rules.test_title_regex, here.title, re.IGNORECASE):
            return TITLE
        return OTHER_RULE

    def _is_changed(self, there: Mapping[str, Any]) -> bool:
        return datetime.fromisoformat(str(there["DATE_MODIFY"])) >= self.as_of

    # both sides

    def _count(self, questions: Sequence[Question]) -> list[int]:
        return count_there(self.client, questions, lambda done, total: self.reporter.step("counts", done, total))

    def _walk(self, table: str, where: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        """Rows of the portal that match, with the columns that reasons need."""
        entity = next(entity for entity in ENTITIES if entity.table == table)
        entity = replace(entity, params={"select": list(COLUMNS[table])}, twin=None)
        rows: dict[int, dict[str, Any]] = {}
        for brought in Reader(self.client).read([KeysetWalk(entity, where=where)]):
            for _, page in brought:
                read = [orjson.loads(bytes(row)) for row in page]
                rows.update({int(row["ID"]): row for row in read})
                self.read += len(read)
                self.reporter.rows("portal", self.read, None)
        return rows

    def _rows_of(self, table: str, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Rows of the portal by id, wherever they stand now."""
        rows: dict[int, dict[str, Any]] = {}
        for place in range(0, len(ids), IDS_AT_ONCE):
            rows |= self._walk(table, {"@ID": list(ids[place : place + IDS_AT_ONCE])})
        return rows

    def _here(self, table: str, ids: Sequence[int]) -> dict[int, Here]:
        found = self._ask(_HERE_SQL[table], [list(ids)]) if ids else []
        return {row[0]: Here(*row) for row in found}

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read the warehouse for a moment: an open reader keeps a sync out."""
        with open_warehouse(self.settings.warehouse_path, read_only=True) as con:
            if not con.execute(
                "select 1 from duckdb_tables() where schema_name = 'marts' and table_name = 'sales_dynamics'"
            ).fetchone():
                raise WarehouseError("There are no marts yet. Run `b24 sync` first.")
            return con.execute(sql, list(values)).fetchall()


_HERE_SQL = {
    "deals": """
        select deals.deal_id, deals.is_in_scope, deals.is_deleted, deals.pipeline_key, deals.manager_key,
            coalesce(deals.title, ''), coalesce(raw.is_recurring = 'Y', false), deals.outcome, deals.won_date,
            coalesce(deals.amount, 0), deals.currency, coalesce(deals.revenue_rc, 0)
        from core.fct_deals as deals
        inner join raw_bitrix24.deals as raw on try_cast(raw.id as bigint) = deals.deal_id
        where deals.deal_id in (select unnest(?::bigint[]))
    """,
    "leads": """
        select lead_id, is_in_scope, is_deleted, null, manager_key, coalesce(title, ''), false, outcome, null,
            coalesce(amount, 0), currency, 0
        from core.fct_leads where lead_id in (select unnest(?::bigint[]))
    """,
}


def _add(reasons: dict[str, Effect], reason: str, rows: int, amount: Decimal) -> None:
    here, there, before = reasons.get(reason, Effect(0, 0, Decimal(0)))
    reasons[reason] = Effect(here + max(rows, 0), there + max(-rows, 0), before + amount)


def _money(value: Any) -> Decimal:
    """An amount as the portal sends it; people type phone numbers into the field."""
    return Decimal(str(value or 0)).quantize(Decimal("0.01"), context=WIDE)


def _next(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def last_full_month(as_of: datetime, zone: ZoneInfo) -> date:
    """The first day of the month before the one that holds the moment."""
    return (as_of.astimezone(zone).date().replace(day=1) - timedelta(days=1)).replace(day=1)


def print_lines(lines: Sequence[Line], as_of: datetime) -> None:
    """What differs, with its reasons; what is equal, in one line."""
    console.print(f"Портал сейчас и витрины на {as_of:%d.%m.%Y %H:%M} UTC; разница — витрины минус портал")
    table = Table(show_edge=False, pad_edge=False)
    for column in ("показатель", "воронка", "стадия"):
        table.add_column(column, max_width=32)
    for column in ("портал", "витрины", "разница"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("почему")
    equal = 0
    for line in lines:
        if not line.difference and not line.reasons:
            equal += 1
            if line.stage:
                continue
        why = "\n".join(
            f"{grouped(effect.amount) if line.is_money else _sides(effect)}: {reason}"
            for reason, effect in sorted(line.reasons.items())
        )
        if line.unexplained and not line.reasons.keys() & NO_REASONS:
            why += f"\n{grouped(line.unexplained)}: {UNEXPLAINED}"
        mark = "[bold red]" if not line.is_explained else ""
        table.add_row(
            escape(line.what),
            escape(line.pipeline),
            escape(line.stage),
            grouped(line.portal),
            grouped(line.marts),
            f"{mark}{grouped(line.difference)}",
            f"{mark}{escape(why or 'совпало')}",
        )
    print_wide(table)
    explained = sum(line.is_explained for line in lines) - equal
    left = len(lines) - equal - explained
    console.print(f"Совпало {equal}, с объяснением {explained}, без объяснения {left} из {len(lines)}.")


def _sides(effect: Effect) -> str:
    """+2 −3: two rows that only the marts count, three that only the portal shows."""
    both = ((effect.only_here, "+"), (effect.only_there, "−"))
    return " ".join(f"{sign}{grouped(count)}" for count, sign in both if count)
