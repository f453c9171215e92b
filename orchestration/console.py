"""What a person sees of a run: live progress, the summary, the month's figures."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from orchestration.report import RunReport
from warehouse.ledger import WarehouseStatus
from warehouse.publish import PublishedTable

WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120  # a log has no width of its own
console = Console(width=WIDTH)
SHARE_STEPS = 1000
TABLE_WIDTH = 180  # of tables that list rows one by one, also where the output is narrower


class LiveProgress:
    """One line per raw table and per phase; use it as a context manager around a run."""

    def __init__(self) -> None:
        # bound to the real stream: while a run is shown, what others print (dbt's line per node) goes elsewhere
        self._console = Console(file=sys.stdout)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]:>24}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            redirect_stdout=False,
            transient=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "LiveProgress":
        self._others = contextlib.redirect_stdout(io.StringIO())
        self._others.__enter__()
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._others.__exit__(None, None, None)

    def rows(self, entity: str, rows: int, share: float | None) -> None:
        """Rows so far, rows a second, and by the share of ids the time left."""
        task = self._line(entity)
        elapsed = self._progress.tasks[self._progress.task_ids.index(task)].elapsed or 0.0
        rate = f", {rows / elapsed:,.0f}/s" if elapsed > 1 else ""
        done = None if share is None else round(share * SHARE_STEPS)
        self._show(task, done, SHARE_STEPS if share is not None else None, f"{rows:,} rows{rate}")

    def step(self, phase: str, done: int, total: int | None) -> None:
        """Pieces done of a phase."""
        self._show(self._line(phase), done, total, f"{done} of {total}" if total else str(done))

    def _line(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, text="")
            if not self._console.is_terminal:
                self._console.print(f"  {name} ...", style="dim")
        return self._tasks[name]

    def _show(self, task: TaskID, done: int | None, total: int | None, text: str) -> None:
        self._progress.update(task, completed=done, total=total, text=text)


def grouped(number: float | Decimal, digits: int = 2) -> str:
    """A number as it is read in Russian: 1 234, or 1 234.50; the blanks do not break a line."""
    text = f"{number:,.{digits}f}" if number != int(number) else f"{int(number):,}"
    return text.replace(",", "\u00a0")


def print_wide(table: Table) -> None:
    """Print a table whose rows a person compares; a narrow terminal wraps the lines, not the cells."""
    Console(width=max(console.width, TABLE_WIDTH)).print(table)


PHASES = ("extract", "load", "dbt", "publish")


def summary_table(reports: Sequence[tuple[str, RunReport]]) -> Table:
    """Summaries side by side: one column per run."""
    table = Table(title="Summary", title_justify="left", show_edge=False)
    table.add_column("")
    for name, _ in reports:
        table.add_column(name, justify="right")
    for label, value in _LINES:
        table.add_row(label, *(value(report) for _, report in reports))
    for phase in PHASES:
        table.add_row(f"seconds: {phase}", *(f"{report.seconds.get(phase, 0.0):.1f}" for _, report in reports))
    table.add_section()
    table.add_row("[bold]rows new / changed[/]")
    for entity in dict.fromkeys(line.entity for _, report in reports for line in report.entities):
        table.add_row(entity, *(_entity_cell(report, entity) for _, report in reports))
    return table


def _entity_cell(report: RunReport, entity: str) -> str:
    for line in report.entities:
        if line.entity == entity:
            if line.note and not line.rows_read:
                return escape(f"skipped: {line.note}")
            note = escape(f"; {line.note}") if line.note else ""
            return f"{line.rows_new:,} / {line.rows_changed:,}{note}"
    return "-"


def _checked(report: RunReport) -> str:
    if not report.checks:
        return "not looked for"
    marked, healed = sum(check.marked for check in report.checks), sum(check.healed for check in report.checks)
    requests, pages = sum(check.requests for check in report.checks), sum(check.commands for check in report.checks)
    return f"{marked:,}, {healed:,} ({requests:,} requests, {pages:,} pages)"


def _waiting(report: RunReport) -> str:
    return ", ".join(f"{table} {count:,}" for table, count in report.owners_waiting.items() if count) or "0"


def _published(report: RunReport) -> str:
    changed = sum(table.inserted + table.updated + table.deleted for table in report.published)
    return f"{len(report.published)} tables, {changed:,} rows differed"


_LINES: tuple[tuple[str, Callable[[RunReport], str]], ...] = (
    ("as of", lambda report: f"{report.as_of:%Y-%m-%d %H:%M %Z}" if report.as_of else "-"),
    ("requests, commands", lambda report: f"{report.requests:,}, {report.commands:,}"),
    ("refusals, retries", lambda report: f"{report.refusals:,}, {report.retries:,}"),
    ("portal's working seconds", lambda report: f"{report.operating_seconds:,.1f}"),
    ("deletions found, rows read again", lambda report: _checked(report)),
    ("changes of custom fields", lambda report: f"{len(report.schema_changes):,}"),
    ("owners left to the next runs", lambda report: _waiting(report)),
    ("input files, rows", lambda report: ", ".join(f"{k} {v:,}" for k, v in report.input_rows.items()) or "-"),
    ("rates of the Central Bank", lambda report: f"{report.bank_rates:,}"),
    ("models built", lambda report: f"{report.models_built}"),
    (
        "tests passed, warned, failed",
        lambda report: f"{report.tests_passed}, {len(report.tests_warned)}, {len(report.tests_failed)}",
    ),
    ("published", _published),
)


def published_table(tables: Sequence[PublishedTable]) -> Table:
    """What a publish changed."""
    table = Table(title="Published", title_justify="left", show_edge=False)
    for column in ("table", "rows", "inserted", "updated", "deleted"):
        table.add_column(column, justify="left" if column == "table" else "right")
    for line in tables:
        table.add_row(line.name, *(f"{n:,}" for n in (line.rows, line.inserted, line.updated, line.deleted)))
    return table


def print_status(status: WarehouseStatus) -> None:
    """Last run, tables, disk."""
    run = status.last_run
    if run is None:
        console.print("No run yet: `b24 sync`.")
    else:
        ended = f", ended {run.finished_at:%Y-%m-%d %H:%M:%S} UTC" if run.finished_at else ""
        console.print(
            f"Portal {status.portal_host}; last run {run.status}, as of {run.as_of:%Y-%m-%d %H:%M:%S} UTC{ended}"
        )
        if run.error:
            console.print(f"  {escape(run.error)}", highlight=False)
        if status.last_published and status.last_published != run:
            console.print(f"Published state: as of {status.last_published.as_of:%Y-%m-%d %H:%M:%S} UTC")
    table = Table(show_edge=False)
    table.add_column("table")
    table.add_column("rows", justify="right")
    table.add_column("newest row read, UTC")
    for line in status.tables:
        table.add_row(
            f"{line.schema}.{line.name}",
            f"{line.rows:,}",
            f"{line.loaded_at:%Y-%m-%d %H:%M:%S}" if line.loaded_at else "",
        )
    console.print(table)
    if status.proofs:
        proofs = Table(show_edge=False, title="Proven complete", title_justify="left")
        for column in ("list", "ids equal as of, UTC", "last compared, UTC", ""):
            proofs.add_column(column)
        for proof in status.proofs:
            equal = f"{proof.equal_at:%Y-%m-%d %H:%M:%S}" if proof.equal_at else "never"
            proofs.add_row(proof.entity, equal, f"{proof.checked_at:%Y-%m-%d %H:%M:%S}", escape(proof.note))
        console.print(proofs)
    disk = ", ".join(f"{name} {size / 2**20:,.0f} MB" for name, size in status.disk_bytes.items())
    console.print(f"Disk: {disk}")
