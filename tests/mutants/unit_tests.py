"""dbt's unit tests without dbt: their rows, the model's text rendered over them, the rows they expect.

dbt parses the project anew after each change of its text; this takes a fraction of a second. Types of given rows are
those of the relation they stand for, as in dbt.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from traps.mechanism import VARS
from traps.sql_project import PROJECT, SCHEMAS, Project

Row = Mapping[str, Any]
_REF = re.compile(r"ref\('(?P<model>\w+)'\)|source\('(?P<source>\w+)', *'(?P<table>\w+)'\)|(?P<this>this)")


@dataclass(frozen=True)
class UnitTest:
    """One unit test of a yml."""

    name: str
    model: str
    given: tuple[Mapping[str, Any], ...]
    expect: Mapping[str, Any]
    variables: Mapping[str, Any]
    macros: Mapping[str, Any]


@cache
def unit_tests() -> Sequence[UnitTest]:
    """All of the project."""
    found = []
    for path in sorted(PROJECT.glob("models/**/*.yml")):
        for test in _yaml(path).get("unit_tests", ()):
            instead = test.get("overrides", {})
            found.append(
                UnitTest(
                    test["name"],
                    test["model"],
                    tuple(test["given"]),
                    test["expect"],
                    instead.get("vars", {}),
                    instead.get("macros", {}),
                )
            )
    return found


def _yaml(path: Path) -> dict[str, Any]:
    # the parser in Python takes seconds for all of them
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))


class UnitProject(Project):
    """A project whose models read what a unit test gives them."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._instead: Mapping[str, Any] = {}
        super().__init__()
        self._jinja.globals |= {
            "source": lambda source, table: self._stand_in(f"{SCHEMAS.get(source, source)}.{table}"),
            "is_incremental": lambda: self._instead.get("is_incremental", False),
        }
        self._tables = 0

    def failure(self, test: UnitTest) -> str | None:
        """How the test fails; None if it passes.

        Raises:
            duckdb.Error: the SQL cannot be run at all, which says nothing of the rule.
        """
        self._given, self._instead = {}, test.macros
        VARS.update(test.variables)
        try:
            for given in test.given:
                relation = relation_of(given["input"], test.model)
                self._given[relation] = self._table(types_of(relation), given)
            self._execute(f"create or replace table actual as {self._model(test.model).render()}")
            return self._difference(test.expect)
        finally:
            for name in test.variables:
                del VARS[name]

    def types(self, relation: str) -> dict[str, str]:
        """The columns of a relation that is built from empty raw tables, or of a raw table."""
        if "." not in relation:
            super()._ref(relation)
        return {row[0]: row[1] for row in self._con.execute(f"describe {relation}").fetchall()}

    def _ref(self, name: str) -> str:
        return self._stand_in(name) if self._given else super()._ref(name)

    def _stand_in(self, relation: str) -> str:
        return self._given.get(relation, relation)

    def _model(self, name: str) -> Any:
        self._jinja.globals["this"] = self._given.get(name, name)
        (path,) = PROJECT.glob(f"models/**/{name}.sql")
        return self._compiled(path.relative_to(PROJECT).as_posix())

    def _macro(self, name: str, text: str) -> Callable[..., Any]:
        own = super()._macro(name, text)
        return lambda *values, **named: self._instead[name] if name in self._instead else own(*values, **named)

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._con.execute(sql, values).fetchall()

    def _table(self, types: Mapping[str, str], filled: Mapping[str, Any]) -> str:
        """Columns of these types with the rows that a unit test writes down; what it leaves out is null."""
        self._tables += 1
        name = f"given_{self._tables}"
        self._execute(f"create temp table {name} ({', '.join(f'{column} {kind}' for column, kind in types.items())})")
        if filled.get("format") == "sql":
            self._execute(f"insert into {name} by name {filled['rows']}")
        else:
            self._insert(name, types, _rows(filled))
        return name

    def _insert(self, table: str, types: Mapping[str, str], rows: Sequence[Row]) -> None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        if columns:
            row_of_casts = f"({', '.join(f'cast(? as {types[column]})' for column in columns)})"
            values = [row.get(column) for row in rows for column in columns]
            self._execute(
                f"insert into {table} ({', '.join(columns)}) values {', '.join([row_of_casts] * len(rows))}",
                [None if value is None else str(value) for value in values],
            )

    def _difference(self, expect: Mapping[str, Any]) -> str | None:
        rows = _rows(expect)
        types = {row[0]: row[1] for row in self._execute("describe actual")}
        if not rows:
            return "rows where none is expected" if self._execute("select 1 from actual") else None
        expected = self._table({column: types[column] for column in rows[0]}, expect)
        columns = ", ".join(rows[0])
        for one, other in (("actual", expected), (expected, "actual")):
            more = self._execute(f"select {columns} from {one} except all select {columns} from {other}")
            if more:
                return f"{'got' if one == 'actual' else 'lacks'} {dict(zip(rows[0], map(str, more[0]), strict=True))}"
        return None


def relation_of(given: str, model: str) -> str:
    """The name of what an input stands for."""
    found = _REF.fullmatch(given)
    assert found, given
    if found["this"]:
        return model
    return found["model"] or f"{SCHEMAS.get(found['source'], found['source'])}.{found['table']}"


@cache
def _empty() -> UnitProject:
    return UnitProject()


@cache
def types_of(relation: str) -> Mapping[str, str]:
    """The columns of a relation, as the unchanged project makes them."""
    return _empty().types(relation)


def _rows(filled: Mapping[str, Any]) -> Sequence[Row]:
    if filled.get("fixture"):
        text = (PROJECT / "tests" / "fixtures" / f"{filled['fixture']}.csv").read_text(encoding="utf-8")
    elif isinstance(filled["rows"], list):
        return filled["rows"]
    else:
        text = filled["rows"]
    return [
        {name: value if value != "" else None for name, value in row.items()} for row in csv.DictReader(StringIO(text))
    ]
