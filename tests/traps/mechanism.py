"""How a trap names its defence, and how that defence is switched off.

A test of a trap runs as it is with the defence on. With `--defences-off` it runs once more with the defence taken out,
and then has to fail in the way that the trap predicts: another failure, or none, is an error.
"""

import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest

ROOT = Path(__file__).parents[2]
# text of the dbt project to replace, by file: what `sql_project` reads goes through these
EDITS: dict[str, tuple[str, str]] = {}
# dbt's vars that are set other than in dbt_project.yml
VARS: dict[str, Any] = {}


class Defence(Protocol):
    """Something of the product that can be taken out."""

    @property
    def place(self) -> str:
        """File and name."""

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        """Take it out until the end of the test."""


@dataclass(frozen=True)
class Replaced:
    """A function, method or constant, and what stands in its place."""

    owner: ModuleType | type
    name: str
    by: Any

    @property
    def place(self) -> str:
        module = self.owner.__name__ if isinstance(self.owner, ModuleType) else self.owner.__module__
        qualified = self.name if isinstance(self.owner, ModuleType) else f"{self.owner.__name__}.{self.name}"
        return f"{module.rpartition('.')[2]}.py {qualified}"

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(self.owner, self.name, self.by)


@dataclass(frozen=True)
class Entry:
    """An entry of a map, and what stands in its place."""

    owner: ModuleType
    name: str
    key: str
    by: Any

    @property
    def place(self) -> str:
        return f"{Replaced(self.owner, self.name, None).place}[{self.key!r}]"

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        table: MutableMapping[str, Any] = getattr(self.owner, self.name)
        assert self.key in table
        patch.setitem(table, self.key, self.by)


@dataclass(frozen=True)
class Declared:
    """What `entities.py` declares of one table, and how it would look without the defence."""

    table: str
    field: str
    without: Callable[[Any], Any]

    @property
    def place(self) -> str:
        return f"entities.py {self.table}: {self.field}"

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        from dlt_sources.bitrix24 import entities

        changed = tuple(self.without(one) if one.table == self.table else one for one in entities.ENTITIES)
        assert changed != entities.ENTITIES
        patch.setattr(entities, "ENTITIES", changed)


@dataclass(frozen=True)
class Edited:
    """A place of the dbt project, and the text that stands there instead."""

    file: str
    name: str
    old: str
    new: str

    @property
    def place(self) -> str:
        return f"{Path(self.file).name} {self.name}"

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        text = (ROOT / "dbt_project" / self.file).read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.file} holds the defence {text.count(self.old)} times"
        patch.setitem(EDITS, self.file, (self.old, self.new))


@dataclass(frozen=True)
class Setting:
    """A var of the dbt project, and the value that does without the defence."""

    name: str
    value: Any

    @property
    def place(self) -> str:
        return f"dbt_project.yml var {self.name}"

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        patch.setitem(VARS, self.name, self.value)


class Together:
    """Places that make one defence: each alone would still hold."""

    def __init__(self, *parts: Defence) -> None:
        self._parts = parts

    @property
    def place(self) -> str:
        return " + ".join(part.place for part in self._parts)

    def switch_off(self, patch: pytest.MonkeyPatch) -> None:
        for part in self._parts:
            part.switch_off(patch)


@dataclass(frozen=True)
class Trap:
    """One row of the table of traps: what happens, what guards against it, how the test fails without the guard."""

    number: int
    title: str
    off: Sequence[Defence]
    fails: type[BaseException]
    saying: str
    by_design: str

    @property
    def place(self) -> str:
        return self.by_design or ", ".join(defence.place for defence in self.off)

    def explains(self, error: BaseException) -> bool:
        """Whether the test failed in the way that the trap predicts."""
        return isinstance(error, self.fails) and re.search(self.saying, str(error)) is not None


TRAPS: dict[int, Trap] = {}
Test = Callable[..., None]


def trap(
    number: int,
    title: str,
    *off: Defence,
    fails: type[BaseException] = AssertionError,
    saying: str = "",
    by_design: str = "",
) -> Callable[[Test], Test]:
    """Mark the one test of a trap.

    Args:
        number: in the table of traps.
        title: what happens.
        off: the defence. Of several, each is switched off alone, and the test has to fail each time.
        fails, saying: the failure of the test without it: type, and a regular expression found in its message.
        by_design: why the trap cannot befall this product; then nothing is switched off.
    """
    assert number not in TRAPS, f"trap {number} has a test already"
    assert bool(off) != bool(by_design)
    assert by_design or saying, "a failure without a text may be any failure"
    TRAPS[number] = Trap(number, title, off, fails, saying, by_design)

    def mark(test: Test) -> Test:
        assert test.__name__.startswith(f"test_trap_{number:02}_")
        test.trap = TRAPS[number]  # type: ignore[attr-defined]
        return test

    return mark


def trap_of(function: object) -> Trap | None:
    """The trap that a test function belongs to."""
    found = getattr(function, "trap", None)
    return found if isinstance(found, Trap) else None


def edited(file: str) -> str:
    """A file of the dbt project, defences that are switched off taken out."""
    text = (ROOT / "dbt_project" / file).read_text(encoding="utf-8")
    return text.replace(*EDITS[file]) if file in EDITS else text
