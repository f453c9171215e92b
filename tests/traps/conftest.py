"""Runs each trap with its defence on and, with `--defences-off`, once more without it; prints the table of both."""

import io
from collections.abc import Generator
from typing import Any

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from traps.mechanism import TRAPS, trap_of

OPTION = "--defences-off"
ON, NOT_RUN = "on", "not run"
COLUMNS = (("#", 2), ("trap", 62), ("defence", 58), ("on", 7), ("off", 56))
_outcomes: dict[tuple[int, int | str], str] = {}  # by trap and number of the defence that is off


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="run each trap without its defence too, and print the table")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    trap = trap_of(metafunc.function)
    if trap is not None:
        parts = range(len(trap.off)) if metafunc.config.getoption(OPTION) else ()
        names = [ON, *(f"off {trap.off[part].place}" for part in parts)]
        metafunc.parametrize("defence", [None, *parts], indirect=True, ids=names)


@pytest.fixture(autouse=True)
def defence(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Number of the defence that is out, None if all hold; it is out before any other fixture is made."""
    number: int | None = getattr(request, "param", None)
    trap = trap_of(request.function)
    if trap is not None and number is not None:
        trap.off[number].switch_off(monkeypatch)
    return number


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    trap = trap_of(pyfuncitem.function)
    if trap is None:
        return (yield)
    number: int | None = pyfuncitem.funcargs["defence"]  # type: ignore[assignment]
    if number is None:
        _outcomes[trap.number, ON] = "FAILED"
        result = yield
        _outcomes[trap.number, ON] = "passes"
        return result
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        if not trap.explains(error):
            _outcomes[trap.number, number] = "FAILS FOR ANOTHER REASON"
            pytest.fail(
                f"without its defence the test should fail with {trap.fails.__name__} saying {trap.saying!r}, "
                f"not with {type(error).__name__}: {error}"
            )
        _outcomes[trap.number, number] = f"fails: {(str(error).splitlines() or [''])[0]}"
        return True
    _outcomes[trap.number, number] = "PASSES"
    pytest.fail("the test passes although its defence is switched off")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption(OPTION):
        return
    table = Table(title="Traps of the Bitrix24 API, defences on and off", title_justify="left", show_edge=False)
    for column, width in COLUMNS:
        table.add_column(column, width=width, no_wrap=True, justify="right" if column == "#" else "left")
    for number, trap in sorted(TRAPS.items()):
        off = [_outcomes.get((number, part), NOT_RUN) for part in range(len(trap.off))]
        # what is wrong is shown, not what is right beside it
        shown = min(off, key=lambda outcome: outcome.startswith("fails: "), default="by design")
        cells = (str(number), trap.title, trap.place, _outcomes.get((number, ON), NOT_RUN), shown)
        table.add_row(*map(escape, cells))
    terminalreporter.ensure_newline()
    output = io.StringIO()
    Console(file=output, width=sum(width for _, width in COLUMNS) + 3 * len(COLUMNS)).print(table)
    terminalreporter.write(output.getvalue())
