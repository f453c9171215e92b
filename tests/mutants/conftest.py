"""Prints the table at the end."""

import pytest
from mutants.table import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.ensure_newline()
    terminalreporter.write(table())
