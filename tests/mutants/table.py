"""Which unit test caught which mutant."""

import io

from mutants.broken import Mutant
from mutants.unit_tests import UnitTest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

SURVIVES = "SURVIVES"
COLUMNS = (("mutant", 54), ("rule", 5), ("model", 32), ("killed by", 70), ("s", 4))
_rows: list[tuple[str, ...]] = []


def note(mutant: Mutant, killer: UnitTest | None, seconds: float) -> None:
    """Add a row."""
    model = mutant.file.rpartition("/")[2].removesuffix(".sql")
    _rows.append((mutant.name, mutant.rule, model, killer.name if killer else SURVIVES, f"{seconds:.1f}"))


def table() -> str:
    """The rows so far; nothing without any."""
    if not _rows:
        return ""
    killed = sum(row[3] != SURVIVES for row in _rows)
    title = f"Rules broken one by one in the SQL: {killed} of {len(_rows)} turn a test red"
    drawn = Table(title=title, title_justify="left", show_edge=False)
    for column, width in COLUMNS:
        drawn.add_column(column, width=width, no_wrap=True)
    for row in _rows:
        drawn.add_row(*map(escape, row))
    output = io.StringIO()
    Console(file=output, width=sum(width for _, width in COLUMNS) + 3 * len(COLUMNS)).print(drawn)
    return output.getvalue()
