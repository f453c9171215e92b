"""`b24 explain`: the rows behind a number of a mart, and the rule that counted them."""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from rich.markup import escape
from rich.table import Table

from bi.dictionary import load_dictionary
from orchestration.console import console, grouped, print_wide
from orchestration.explanations import MARTS, Explained, Measure, Rows, closed_by
from warehouse.duckdb_file import open_warehouse
from warehouse.errors import WarehouseError
from warehouse.rules import Rules
from warehouse.settings import Settings

TOLERANCE = 0.006  # of hours and minutes, which the marts round to two digits, per row of the mart
# keys that a person knows by name
NAMED = {
    "manager_key": "(select full_name from core.dim_manager as m "
    "where m.manager_key = behind.manager_key) as manager_key",
    "client_key": "(select concat_ws(' ', c.client_key, c.name) from core.dim_client as c "
    "where c.client_key = behind.client_key) as client_key",
}
SIMPLE = re.compile(r"coalesce\((\w+), 0\)")
TEXT_WIDTH = 28


@dataclass(frozen=True)
class Answer:
    """A number and what is behind it.

    Attributes:
        mart_rows: rows of the mart that the condition chose.
        value: sum of the column over them; of a ratio, what its sums give.
        parts: of a ratio, numerator and denominator as written and as summed.
        total: sum over the rows behind the numbers that are known; None for a ratio.
        unknown: rows behind whose value nobody knows, so that the number is unknown too.
        missed: those of them behind a number that the mart gives all the same.
    """

    mart: str
    column: str
    mart_rows: int
    value: float | None
    rows: Rows | None = None
    measure: Measure | None = None
    names: tuple[str, ...] = ()
    behind: tuple[tuple[Any, ...], ...] = ()
    total: float | None = None
    unknown: int = 0
    missed: int = 0
    parts: tuple[tuple[str, float | None], ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the rows add up to the number."""
        return self.total is None or (
            not self.missed and abs(self.total - (self.value or 0)) <= TOLERANCE * max(1, self.mart_rows)
        )


@contextmanager
def reading(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, read-only and cut off from other files, with the moment and zone of its marts."""
    with open_warehouse(settings.warehouse_path, read_only=True, wait_seconds=1) as con:
        con.execute("set enable_external_access = false")
        prepare(con, settings.reporting_tz)
        yield con


def prepare(con: duckdb.DuckDBPyConnection, reporting_tz: str) -> None:
    """Set the variables that the relations of `explanations` read."""
    con.execute(f"set variable reporting_tz = '{reporting_tz}'")
    con.execute(
        "set variable as_of_date = (select cast(as_of at time zone getvariable('reporting_tz') as date) "
        "from ops.sync_runs order by started_at desc limit 1)"
    )


def explain(con: duckdb.DuckDBPyConnection, mart: str, column: str, where: str, rules: Rules | None = None) -> Answer:
    """Find the rows behind a column of the rows of a mart that fulfil a condition; `rules` are those of the build.

    Raises:
        WarehouseError: no such mart or column, a condition that is no SQL, or one that no row fulfils.
    """
    explained = _explained(mart, column)
    if rules and (rule := closed_by(rules, mart, column)):
        raise WarehouseError(f"{column} of {mart} cannot be explained while {rule}: other rows make it then.")
    found = explained.find(column)
    if found is None:
        return _explain_ratio(con, mart, column, explained.ratios[column], where)
    rows, measure = found
    chosen = f"select * from marts.{mart} where ({where or 'true'}\n)"
    count, value = _fetch(con, f"select count(*), sum({column}) from ({chosen})", mart, where)[0]
    if not count:
        raise WarehouseError(f"No row of {mart} fulfils the condition {where!r}. {_columns_of(con, mart)}")
    matches = [f"{_key(one, measure)} is not distinct from chosen_{key}" for key, one in rows.keys.items()]
    shown = [*(NAMED.get(name, f"behind.{name}") for name in rows.shown), f"{measure.value} as counted"]
    known = f"{column} is not null" if measure.needs_all else "true"
    keys = [*(f"{key} as chosen_{key}" for key in rows.keys), f"{known} as is_known"]
    try:
        answer = con.execute(
            f"""
            select {", ".join(shown)}, chosen.is_known
            from ({rows.relation}) as behind
            inner join (select {", ".join(keys)} from ({chosen})) as chosen on {" and ".join(matches)}
            where {measure.where}
            order by counted desc, 1
            """
        )
        names, fetched = tuple(name[0] for name in answer.description or ()), answer.fetchall()
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise WarehouseError(
            f"The tables behind {mart} are of another version: {str(error).splitlines()[0]} Run `b24 build` first."
        ) from None
    zone = ZoneInfo(str(con.execute("select getvariable('reporting_tz')").fetchall()[0][0]))
    behind = tuple(tuple(_local(value, zone) for value in row[:-1]) for row in fetched)
    unknown = [is_known for *_, counted, is_known in fetched if counted is None] if measure.needs_all else []
    total = sum(counted for *_, counted, is_known in fetched if is_known and counted is not None)
    return Answer(
        mart, column, count, _number(value), rows, measure, names[:-1], behind, float(total), len(unknown), sum(unknown)
    )


def _local(value: Any, zone: ZoneInfo) -> Any:
    return value.astimezone(zone) if isinstance(value, datetime) else value


def differences(con: duckdb.DuckDBPyConnection, mart: str, column: str) -> list[tuple[Any, ...]]:
    """Rows of a mart whose number is not what the rows behind it add up to; none if the table above tells the truth."""
    found = MARTS[mart].find(column)
    if found is None:
        numerator, denominator = MARTS[mart].ratios[column]
        return con.execute(
            f"select * from marts.{mart} where abs({column} - ({numerator})::double / nullif({denominator}, 0)) > ? "
            f"or ({column} is null) <> (({numerator}) is null or coalesce({denominator}, 0) = 0)",
            [TOLERANCE],
        ).fetchall()
    rows, measure = found
    keys = ", ".join(f"{_key(one, measure)} as {key}" for key, one in rows.keys.items())
    total = f"sum({measure.value})"
    if measure.needs_all:
        total = f"case when count(*) = count({measure.value}) then {total} end"
    return con.execute(
        f"""
        select {", ".join(f"mart.{key}" for key in rows.keys)}, mart.{column}, behind.total
        from marts.{mart} as mart
        left join (
            select {keys}, {total} as total from ({rows.relation}) where {measure.where} group by all
        ) as behind on {" and ".join(f"behind.{key} is not distinct from mart.{key}" for key in rows.keys)}
        where abs(coalesce(mart.{column}, 0) - coalesce(behind.total, 0)) > ?
        """,
        [TOLERANCE],
    ).fetchall()


def _key(expression: str, measure: Measure) -> str:
    return expression.replace("{dated}", f"({measure.dated})")


def _explain_ratio(
    con: duckdb.DuckDBPyConnection, mart: str, column: str, parts: tuple[str, str], where: str
) -> Answer:
    chosen = f"select * from marts.{mart} where ({where or 'true'}\n)"
    known = [name for name in _names_of(con, mart) if any(name in part for part in parts)]
    summed = ", ".join(f"sum({name}) as {name}" for name in known)
    count, numerator, denominator = _fetch(
        con,
        f"select row_count, {parts[0]}, {parts[1]} from (select count(*) as row_count, {summed} from ({chosen}))",
        mart,
        where,
    )[0]
    if not count:
        raise WarehouseError(f"No row of {mart} fulfils the condition {where!r}. {_columns_of(con, mart)}")
    above, below = _number(numerator), _number(denominator)
    value = above / below if above is not None and below else None
    return Answer(mart, column, count, value, parts=((parts[0], above), (parts[1], below)))


def _explained(mart: str, column: str) -> Explained:
    if mart not in MARTS:
        raise WarehouseError(f"{mart} cannot be explained. Marts that can: {', '.join(MARTS)}.")
    if column not in MARTS[mart].columns:
        raise WarehouseError(
            f"{column} of {mart} cannot be explained. Columns that can: {', '.join(MARTS[mart].columns)}."
        )
    return MARTS[mart]


def _fetch(con: duckdb.DuckDBPyConnection, sql: str, mart: str, where: str) -> list[tuple[Any, ...]]:
    try:
        statements = duckdb.extract_statements(sql)
        if len(statements) != 1:
            raise WarehouseError(f"The condition {where!r} is more than one SQL expression. {_columns_of(con, mart)}")
        return con.execute(sql).fetchall()
    except duckdb.Error as error:
        if "marts" in str(error) and "does not exist" in str(error) and mart not in where:
            raise WarehouseError("There are no marts yet. Run `b24 sync` first.") from None
        reason = str(error).splitlines()[0]
        raise WarehouseError(
            f"The condition {where!r} is no SQL on {mart}: {reason} {_columns_of(con, mart)}"
        ) from None


def _names_of(con: duckdb.DuckDBPyConnection, mart: str) -> list[str]:
    found = con.execute(
        "select column_name from duckdb_columns() where schema_name = 'marts' and table_name = ?", [mart]
    )
    return [name for (name,) in found.fetchall()]


def _columns_of(con: duckdb.DuckDBPyConnection, mart: str) -> str:
    return f"Its columns: {', '.join(_names_of(con, mart))}."


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def print_answer(answer: Answer, limit: int) -> None:
    """The rule, the number and its rows, in Russian."""
    dataset = load_dictionary()[answer.mart]
    column = dataset.column(answer.column)
    console.print(
        f"[bold]{escape(dataset.title)}: {escape(column.label)}[/] ({answer.mart}.{answer.column})", highlight=False
    )
    if column.definition:
        console.print(f"Определение: {escape(column.definition)}", highlight=False, soft_wrap=True)
    if answer.parts:
        for name, (text, value) in zip(("Числитель", "Знаменатель"), answer.parts, strict=True):
            console.print(f"{name}: {escape(text)} = {show(value)}", highlight=False)
        console.print(f"Итого: {show(answer.value, 4)} (строк витрины: {answer.mart_rows})", highlight=False)
        console.print(f"Строки за каждым: b24 explain {answer.mart} КОЛОНКА --where …", highlight=False)
        return
    console.print(f"Правило: {escape(rule_of(answer))}", highlight=False, soft_wrap=True)
    console.print(f"В витрине: {show(answer.value)} (строк витрины: {answer.mart_rows})", highlight=False)
    verdict = "сходится" if answer.agrees else "[bold red]НЕ сходится[/]"
    console.print(f"За числом: строк {len(answer.behind)}, в сумме {show(answer.total)}: {verdict}", highlight=False)
    if answer.unknown:
        console.print(
            f"У {answer.unknown} из них значение неизвестно, поэтому неизвестна и сумма с ними.", highlight=False
        )
    if not answer.agrees:
        console.print("Правила могли измениться после сборки: запустите b24 build.", highlight=False)
    _print_rows(answer, limit)


def rule_of(answer: Answer) -> str:
    """The rule in one Russian sentence."""
    if answer.rows is None or answer.measure is None:
        return ""
    measure = answer.measure
    value = SIMPLE.sub(r"\1", measure.value)
    text = f"число строк «{answer.rows.things}»" if value == "1" else f"сумма {value} по строкам «{answer.rows.things}»"
    if measure.where != "true":
        text += f", где {measure.where}"
    if measure.dated:
        text += f"; дата — {measure.dated}"
    return f"{text}; без удалённых и исключённых правилами"


def _print_rows(answer: Answer, limit: int) -> None:
    if not answer.behind or not limit:
        return
    labels = _labels(answer)
    shown = answer.behind[:limit]
    table = Table(show_edge=False, pad_edge=False)
    for place, name in enumerate(answer.names):
        is_number = all(isinstance(row[place], int | float | Decimal | None) for row in shown)
        label = "учтено" if name == "counted" else labels.get(name, name)
        table.add_column(
            escape(label), justify="right" if is_number else "left", no_wrap=is_number, max_width=TEXT_WIDTH
        )
    for row in shown:
        table.add_row(*(escape(cell(value)) for value in row))
    print_wide(table)
    if len(answer.behind) > limit:
        console.print(f"… и ещё {len(answer.behind) - limit}; все: --csv ФАЙЛ или --limit", highlight=False)


def _labels(answer: Answer) -> dict[str, str]:
    """Russian names of columns: those of the tables that the rows come from, the first one's before the others'."""
    dictionary = load_dictionary()
    tables = re.findall(r"\b(?:core|marts)\.(\w+)", answer.rows.relation if answer.rows else "")
    labels: dict[str, str] = {}
    for name in (*tables, answer.mart, *(name for name in dictionary if name.startswith("fct_"))):
        for column in dictionary[name].columns if name in dictionary else ():
            labels.setdefault(column.name, column.label)
    return labels


def write_csv(answer: Answer, file: Path) -> None:
    """All rows behind the number, as Russian Excel reads them: UTF-8 with its mark, semicolons."""
    try:
        with file.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream, delimiter=";")
            writer.writerow(answer.names)
            writer.writerows([_excel(value) for value in row] for row in answer.behind)
    except OSError as error:
        raise WarehouseError(f"{file} cannot be written ({error.strerror}). Name another file.") from None


def _excel(value: Any) -> str:
    return cell(value).replace(".", ",") if isinstance(value, float | Decimal) else cell(value)


def cell(value: Any) -> str:
    """A value as text; an instant without its needless seconds."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "да" if value else "нет"
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "hour") else str(value)


def show(value: float | None, digits: int = 2) -> str:
    """A number as it is read in Russian."""
    return "нет" if value is None else grouped(value, digits)
