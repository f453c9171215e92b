"""Every rule of the list, broken in the SQL, has to turn a unit test of its model red: `make test-mutants`.

A mutant that survives is a missing test: write it in the yml of the model, with numbers worked by hand.
"""

import re
import time

import pytest
from mutants.broken import MUTANTS, Mutant
from mutants.table import note
from mutants.unit_tests import UnitProject, UnitTest, relation_of, types_of, unit_tests
from traps.mechanism import EDITS
from traps.sql_project import MACRO, PROJECT

LEAST = 24


def test_every_mutant_changes_what_stands_there_now() -> None:
    """A rule whose text has gone would be proved by nothing."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= LEAST
    for mutant in MUTANTS:
        mutant.check()


def test_without_a_mutant_every_unit_test_is_green() -> None:
    """Else a red one would prove nothing; and a run of the pipeline leaves dbt's unit tests out."""
    project = UnitProject()
    assert {test.name: failure for test in unit_tests() if (failure := project.failure(test))} == {}


@pytest.fixture(scope="module")
def types_without_a_mutant() -> None:
    for test in unit_tests():
        for given in test.given:
            types_of(relation_of(given["input"], test.model))


@pytest.mark.long
@pytest.mark.usefixtures("types_without_a_mutant")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_turns_a_unit_test_red(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    mutant.check()
    monkeypatch.setitem(EDITS, mutant.file, (mutant.old, mutant.new))
    project = UnitProject()
    killer = next((test for test in _tests_of(mutant) if project.failure(test)), None)
    note(mutant, killer, time.monotonic() - started)
    assert killer, f"no unit test minds that {mutant.name} ({mutant.rule}, {mutant.file})"


def _tests_of(mutant: Mutant) -> list[UnitTest]:
    """The unit tests that see the changed text: those of the model, or of models that call a macro of the file."""
    path = PROJECT / mutant.file
    if path.is_relative_to(PROJECT / "models"):
        return [test for test in unit_tests() if test.model == path.stem]
    macros = "|".join(name for _, name in MACRO.findall(path.read_text(encoding="utf-8")))
    calls = re.compile(rf"\b({macros})\(")
    calling = {model.stem for model in PROJECT.glob("models/**/*.sql") if calls.search(model.read_text("utf-8"))}
    return [test for test in unit_tests() if test.model in calling]
