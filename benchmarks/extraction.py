"""`make bench-extraction`: how fast a portal is read, beside other clients, on the stand-in portal with its limits on.

Prints one table and writes nothing. What each line means stands in docs/benchmarks.md.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.measuring import BURST, REQUESTS_PER_S, Result, ours, peer, run, version
from benchmarks.readers import DEALS, ROUNDS

TABLE_WIDTH = 250  # at most, also where the output is no terminal
COMMAND = {"real_time": True, "seconds_per_command": 0.05, "seconds_per_row": 0.0002}
LIMITS = {"rate": REQUESTS_PER_S, "burst": BURST}
UNLIMITED_REQUESTS = {"rate": 1_000, "burst": 100_000}
BUDGET_S, WINDOW_S = 48, 60  # a tenth of the real ones, so that a run takes minutes
CHANGED_DAYS = 7  # of the 730 that the portal's data spans: 1 %
PERSONAL_DATA = "hash"  # the default of a warehouse
CLIENTS = {"fast_bitrix24": ("fast-bitrix24", "get_all"), "b24pysdk": ("b24pysdk", "as_list_fast")}
COLUMNS = (
    "rows", "seconds", "rows/s", "requests", "refused", "429", "operating s", "per 1000 rows", "peak MB",
)  # fmt: skip


class Part(StrEnum):
    """What is measured."""

    REQUESTS = "requests"
    OPERATING = "operating"
    INCREMENTAL = "incremental"
    LOAD = "load"
    MEMORY = "memory"
    ALL = "all"


def main(
    only: Annotated[list[Part] | None, typer.Option(help="A part alone; can be given again.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The part of memory too.")] = False,
    deals: Annotated[int, typer.Option(help="Deals of the portal.")] = 200_000,
    memory_deals: Annotated[int, typer.Option(help="Deals of the part of memory.")] = 5_000_000,
) -> None:
    """Measure, and print one table."""
    chosen = set(only or [part for part in PARTS if part is not Part.MEMORY])
    if everything or Part.ALL in chosen:
        chosen = set(PARTS)
    table = Table("part", "reading", box=box.SIMPLE_HEAD, title=f"Extraction of {deals} deals")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("measured against")
    for column in table.columns:
        column.no_wrap = True
    load = os.getloadavg()[0]
    shown = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*shown, console=Console(stderr=True)) as progress:
        for part, measure in PARTS.items():
            if part not in chosen:
                continue
            for line in measure(memory_deals if part is Part.MEMORY else deals, progress):
                table.add_row(part.value, *line)
            table.add_section()
    # what else the machine does shows in the load when nothing is measured yet
    table.caption = f"{os.cpu_count()} cores, load {load:.1f} at the start"
    Console(width=TABLE_WIDTH).print(table)


def _requests(deals: int, progress: Progress) -> Iterable[tuple[str, ...]]:
    """Bound by requests: 2 a second after a burst of 50."""
    portal = {"generated_deals": deals, **COMMAND, **LIMITS}
    job = {"select": DEALS.params["select"], **_budget(480, 600), "personal_data": PERSONAL_DATA}
    for client, command in _readers().items():
        result = run(command, job, portal, progress, f"deals: {client}")
        yield _line(f"deals, {client}", result, _of_the_law(result, deals))
    result = run(ours("first_load"), job, portal, progress, "complete first load: ours")
    whole = f"; loaded after {result.found['whole_s']:.1f} s"
    yield _line("first load of all lists, ours", result, _of_the_law(result, deals, result.found["deals"]) + whole)


def _of_the_law(result: Result, deals: int, read: int | None = None) -> str:
    lost = deals - (result.rows if read is None else read)
    return f"{result.law_s / result.seconds:.3f} of the law ({result.law_s:.1f} s)" + (f"; {lost} lost" if lost else "")


def _operating(deals: int, progress: Progress) -> Iterable[tuple[str, ...]]:
    """Bound by operating time: so many seconds of a method's work in a window."""
    budget = {"operating_budget": BUDGET_S, "operating_window": WINDOW_S}
    portal = {"generated_deals": deals, **COMMAND, **UNLIMITED_REQUESTS, **budget}
    job = {"select": DEALS.params["select"], **_budget(BUDGET_S, WINDOW_S), "start_on_s": WINDOW_S / 10}
    for client, command in _readers().items():
        result = run(command, job, portal, progress, f"operating time: {client}")
        # the same rows come by two methods, each with a budget of its own; we are the only one to use both
        methods = 2 if client == "ours" and DEALS.twin else 1
        law_s = WINDOW_S * math.floor(result.operating_s / BUDGET_S / methods)
        against = f"gave up, {deals - result.rows} rows unread"
        if result.rows == deals:
            against = f"{(result.budget_share or 0) / methods:.3f} of the budget of {methods} methods; law {law_s} s"
        yield _line(f"deals, {client}", result, against)


def _incremental(deals: int, progress: Progress) -> Iterable[tuple[str, ...]]:
    """A first load, a run after which nothing has changed, one after a week, and the comparison of all ids."""
    portal = {"generated_deals": deals, **COMMAND, **LIMITS}
    job = {"personal_data": PERSONAL_DATA, "days": CHANGED_DAYS}
    result = run(ours("incremental"), job, portal, progress, "first load, changes, id sweep: ours")
    steps = {name: Result(step, step["log"]) for name, step in result.found["steps"].items()}
    first, constant = steps["first"].requests, steps["unchanged"].requests
    allowed = constant + first // 50
    lines = {
        "first": ("first load of all lists", f"{first} requests"),
        "unchanged": ("next run, nothing changed", f"the constant: {constant} requests"),
        "changed": (
            f"next run, {CHANGED_DAYS} days of 730 later",
            f"{steps['changed'].requests} requests of {allowed}: the constant and 2 % of the first load's",
        ),
        "sweep": (
            "id sweep",
            f"{sum(steps['sweep'].log['pages'].values())} pages, {result.found['differing']} ids differ",
        ),
    }
    for name, (what, against) in lines.items():
        yield _line(f"{what}, ours", steps[name], against)


def _load(deals: int, progress: Progress) -> Iterable[tuple[str, ...]]:
    """Answers as bytes into a DuckDB table, without the network."""
    portal = {"generated_deals": deals, "no_limits": True}
    found = run(ours("load"), {"is_hurried": True}, portal, progress, "load path: ours, read_json").found
    names = {
        "keep": "ours, personal data kept",
        "hash": "ours, personal data hashed",
        "read_json": "DuckDB read_json",
    }
    for name, seconds in found["seconds"].items():
        against = f"{found['megabytes']:.0f} MB, {found['columns']} columns, all text"
        if name in found["beside"]:
            against = f"{found['beside'][name]:.2f} of read_json, median of {ROUNDS} in turn"
        cells = (f"{found['rows']}", f"{seconds:.2f}", f"{found['rows'] / seconds:.0f}")
        yield (names[name], *cells, *[""] * (len(COLUMNS) - len(cells)), against)


def _memory(deals: int, progress: Progress) -> Iterable[tuple[str, ...]]:
    """A first load of a large portal, as fast as it answers."""
    portal = {"generated_deals": deals, "no_limits": True}
    job = {"personal_data": PERSONAL_DATA, "is_hurried": True}
    result = run(ours("first_load"), job, portal, progress, f"first load of {deals} deals: ours")
    against = f"no limits; loaded after {result.found['whole_s']:.0f} s, file of {result.found['file_mb']:.0f} MB"
    yield _line(f"first load, {deals} deals, ours", result, against)


def _readers() -> dict[str, list[str]]:
    peers = {f"{name} {version(package)} {way}": peer(name) for name, (package, way) in CLIENTS.items()}
    return {"ours": ours("deals"), **peers}


def _budget(budget_s: float, window_s: float) -> dict[str, float]:
    return {"operating_budget_s": budget_s, "operating_window_s": window_s}


def _line(reading: str, result: Result, against: str) -> tuple[str, ...]:
    per_thousand = f"{1000 * result.operating_s / result.rows:.3f}" if result.rows else ""
    error = result.found.get("error")
    return (
        reading,
        f"{result.rows}",
        f"{result.seconds:.1f}",
        f"{result.rows / result.seconds:.0f}" if result.seconds else "",
        f"{result.requests}",
        f"{result.refused}",
        f"{result.out_of_time}",
        f"{result.operating_s:.1f}",
        per_thousand,
        f"{result.found['peak_mb']:.0f}" if "peak_mb" in result.found else "",
        f"{error}: {against}" if error else against,
    )


PARTS: Mapping[Part, Callable[[int, Progress], Any]] = {
    Part.REQUESTS: _requests,
    Part.OPERATING: _operating,
    Part.INCREMENTAL: _incremental,
    Part.LOAD: _load,
    Part.MEMORY: _memory,
}

if __name__ == "__main__":
    typer.run(main)
