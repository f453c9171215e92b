"""`make bench-transform`: what dbt costs on warehouses of 100 thousand, one and three million deals.

Prints tables and writes nothing. What each line means stands in docs/benchmarks.md.
"""

import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
import yaml
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.enlarging import enlarge
from demo.server.running import PortalProcess
from orchestration.dbt import BUILD, DBT, PROJECT_DIR, dbt_arguments, dbt_environment
from warehouse.settings import Settings

TABLE_WIDTH = 250  # at most, also where the output is no terminal
SMALL_DEALS = 2_000  # of the company whose records are multiplied
CHANGED_SHARE = 100  # one deal of so many changes before the second build
SLOWEST = 10
MB = 1024**2
B24 = Path(sys.executable).with_name("b24")
HISTORIES = ("deal", "lead", "process", "smart_invoice")


class Size(StrEnum):
    """Deals of a warehouse."""

    SMALL = "100k"
    MIDDLE = "1m"
    LARGE = "3m"

    @property
    def deals(self) -> int:
        """As a number."""
        return {"100k": 100_000, "1m": 1_000_000, "3m": 3_000_000}[self.value]

    @property
    def memory_gb(self) -> int:
        """What a build may use."""
        return 8 if self is Size.LARGE else 4


@dataclass(frozen=True)
class Build:
    """One run of dbt."""

    seconds: float
    peak_mb: float
    results: Sequence[Mapping[str, Any]]

    def seconds_of(self, kind: str) -> float:
        """All nodes of a kind together, although two are built at a time."""
        return sum(float(one["execution_time"]) for one in self.results if one["unique_id"].startswith(f"{kind}."))


@dataclass
class Measured:
    """What one warehouse cost."""

    deals: int
    stage_rows: int
    raw_mb: float
    build: Build
    rebuild: Build  # models alone, after some deals have changed
    models: dict[str, tuple[float, float]] = field(default_factory=dict)  # bare SQL: seconds and peak MB by model


def main(
    only: Annotated[list[Size] | None, typer.Option(help="A size alone; can be given again.")] = None,
    warehouse: Annotated[
        Path | None,
        typer.Option(help="A small one to multiply instead of two syncs, such as that of `b24 demo`."),
    ] = None,
) -> None:
    """Measure, and print the tables."""
    load = os.getloadavg()[0]
    shown = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(width=TABLE_WIDTH)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Progress(*shown, console=Console(stderr=True)) as progress,
    ):
        # PostgreSQL runs as a user of its own, who must get into the folder
        Path(folder).chmod(0o755)
        small, overhead = (warehouse, None) if warehouse else _small_company(Path(folder), progress)
        measured: dict[Size, Measured] = {}
        failure = ""
        for size in (size for size in Size if size in (only or Size)):
            try:
                measured[size] = _measure(small, Path(folder), size, progress)
            except RuntimeError as error:  # what was measured before is not lost
                failure = str(error)
                break
    if measured:
        console.print(_totals(measured))
        console.print(_models(measured))
    if overhead:
        console.print(overhead)
    # what else the machine does shows in the load when nothing is measured yet
    console.print(f"{os.cpu_count()} cores, load {load:.1f} at the start")
    if failure:
        console.print(failure, markup=False)
        raise typer.Exit(1)


def _small_company(folder: Path, progress: Progress) -> tuple[Path, str]:
    """A warehouse filled by two real syncs of the stand-in portal, and what Dagster adds to dbt in the second."""
    task = progress.add_task(f"two syncs of {SMALL_DEALS} deals", total=2)
    warehouse, summary = folder / "small.duckdb", folder / "summary.json"
    with PortalProcess.start(frozen=True, no_limits=True, deals=SMALL_DEALS, inputs=folder / "inputs") as portal:
        environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"} | {
            "BITRIX24_WEBHOOK_URL": portal.webhook_url,
            "WAREHOUSE_PATH": str(warehouse),
            "INPUTS_PATH": str(folder / "inputs"),
            "CBR_URL": portal.cbr_url,
        }
        for _ in range(2):
            _run([B24, "sync", "--json", summary], folder, environment)
            progress.advance(task)
        _run([B24, "postgres", "stop"], folder, environment)
    synced = json.loads(summary.read_text())["seconds"]["dbt"]
    build = _dbt(_settings(warehouse, Size.SMALL.memory_gb), progress, "dbt alone", tests=True)
    return warehouse, f"{SMALL_DEALS} deals: dbt {build.seconds:.1f} s alone, {synced:.1f} s as a step of Dagster"


def _measure(small: Path, folder: Path, size: Size, progress: Progress) -> Measured:
    deals = size.deals
    settings = _settings(folder / f"of_{deals}.duckdb", size.memory_gb)
    path = settings.warehouse_path
    task = progress.add_task(f"{deals} deals: raw tables", total=None)
    for table in enlarge(small, path, deals=deals):
        progress.update(task, description=f"{deals} deals: raw tables: {table}")
    progress.update(task, description=f"{deals} deals: raw tables", total=1, completed=1)
    with duckdb.connect(path) as connection:
        stage_rows = sum(_count(connection, f"{name}_stage_history") for name in HISTORIES)
        present = _count(connection, "deals")
    raw_mb = path.stat().st_size / MB
    build = _dbt(settings, progress, f"{deals} deals: dbt build", tests=True)
    with duckdb.connect(path) as connection:
        connection.execute(
            "update raw_bitrix24.deals set opportunity = '1000', date_modify = _loaded_at where hash(id) % ? = 0",
            [CHANGED_SHARE],
        )
    rebuild = _dbt(settings, progress, f"{deals} deals: models after a change", tests=False)
    measured = Measured(present, stage_rows, raw_mb, build, rebuild)
    statements = [*_statements(settings, build)]
    task = progress.add_task(f"{deals} deals: bare SQL", total=len(statements))
    # a process of its own, whose memory is that of one model at a time
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for name, seconds, peak_mb in pool.imap(_run_bare, statements):
            measured.models[name] = seconds, peak_mb
            progress.advance(task)
    path.unlink()
    return measured


def _settings(warehouse: Path, memory_gb: int) -> Settings:
    return Settings(
        _env_file=None,
        bitrix24_webhook_url=None,
        warehouse_path=warehouse,
        warehouse_memory=f"{memory_gb}GB",
        marts_postgres_url=None,
    )


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = connection.execute(f"select count(*) from raw_bitrix24.{table}").fetchone() or (0,)  # noqa: S608
    return int(count)


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{command[1]} failed: {(done.stdout + done.stderr).strip()[-2000:]}")


def _dbt(settings: Settings, progress: Progress, title: str, *, tests: bool) -> Build:
    """`dbt build` as the run calls it, its whole process measured.

    Raises:
        RuntimeError: a model could not be built, or a test failed: nothing would be published.
    """
    task = progress.add_task(title, total=None)
    places = ["--project-dir", PROJECT_DIR, "--profiles-dir", PROJECT_DIR, "--target-path", settings.paths.dbt]
    command = [DBT, "--quiet", *BUILD, *([] if tests else ["test"]), *places, *dbt_arguments(settings)]
    started = time.monotonic()
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(  # noqa: S603 - our own dbt on our own project
            list(map(str, command)), env=os.environ | dbt_environment(settings), stdout=words, stderr=words
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            raise RuntimeError(f"{title} failed: {words.read().decode().strip()[-3000:]}")
    seconds = time.monotonic() - started
    progress.update(task, total=1, completed=1)
    results = json.loads((settings.paths.dbt / "run_results.json").read_text())["results"]
    return Build(seconds, used.ru_maxrss / 1024, results)


@dataclass(frozen=True)
class Statement:
    """A model's own SQL, to be run without dbt."""

    name: str
    sql: str
    path: Path
    settings: Mapping[str, Any]


def _statements(settings: Settings, build: Build) -> Iterator[Statement]:
    """The models that write rows, in the order in which dbt finished them."""
    nodes = json.loads((settings.paths.dbt / "manifest.json").read_text())["nodes"]
    profiles = yaml.safe_load((PROJECT_DIR / "profiles.yml").read_text())
    duckdb_settings = profiles["bitrix24_analytics"]["outputs"]["warehouse"]["settings"]
    duckdb_settings["memory_limit"] = dbt_environment(settings)["WAREHOUSE_MEMORY"]
    for result in build.results:
        node = nodes[result["unique_id"]]
        if node["resource_type"] == "model" and node["config"]["materialized"] != "view":
            yield Statement(node["name"], result["compiled_code"], settings.warehouse_path, duckdb_settings)


def _run_bare(statement: Statement) -> tuple[str, float, float]:
    """Seconds and peak MB of one model's SQL in a DuckDB that holds nothing else."""
    with duckdb.connect(statement.path) as connection:
        connection.execute("set enable_progress_bar = false")
        for name, value in statement.settings.items():
            connection.execute(f"set {name} = '{value}'")
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        started = time.monotonic()
        connection.execute(f"create or replace table main.bare as {statement.sql}")
        seconds = time.monotonic() - started
        status = Path("/proc/self/status").read_text()
        connection.execute("drop table main.bare")
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    return statement.name, seconds, peak_kb / 1024


def _totals(measured: Mapping[Size, Measured]) -> Table:
    table = Table("deals", box=box.SIMPLE_HEAD, title="dbt build")
    columns = (
        "stage rows", "raw MB", "limit GB", "build s", "peak MB", "models s", "tests s", "1 % changed, models only s",
        "bare SQL s", "slowest model", "s",
    )  # fmt: skip
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for size, one in measured.items():
        slowest = max(one.models, key=lambda name: one.models[name])
        table.add_row(
            f"{one.deals}",
            f"{one.stage_rows}",
            f"{one.raw_mb:.0f}",
            f"{size.memory_gb}",
            f"{one.build.seconds:.0f}",
            f"{one.build.peak_mb:.0f}",
            f"{one.build.seconds_of('model'):.0f}",
            f"{one.build.seconds_of('test'):.0f}",
            f"{one.rebuild.seconds:.0f}",
            f"{sum(seconds for seconds, _ in one.models.values()):.0f}",
            slowest,
            f"{one.models[slowest][0]:.1f}",
        )
    return table


def _models(measured: Mapping[Size, Measured]) -> Table:
    """The slowest first, a line below the first ten."""
    table = Table("model, bare SQL", box=box.SIMPLE_HEAD)
    for size in measured:
        table.add_column(f"{size} s", justify="right")
        table.add_column("peak MB", justify="right")
    sizes = list(measured.values())
    if len(sizes) > 1:
        table.add_column("growth exponent", justify="right")
    last = sizes[-1].models
    for place, name in enumerate(sorted(last, key=lambda name: -last[name][0]), start=1):
        cells = [cell for one in sizes for cell in _cells(one.models[name])]
        if len(sizes) > 1:
            before = sizes[-2]
            growth = math.log(last[name][0] / before.models[name][0]) / math.log(sizes[-1].deals / before.deals)
            cells.append(f"{growth:.2f}")
        table.add_row(name, *cells, end_section=place == SLOWEST)
    return table


def _cells(model: tuple[float, float]) -> tuple[str, str]:
    seconds, peak_mb = model
    return f"{seconds:.2f}", f"{peak_mb:.0f}"


if __name__ == "__main__":
    typer.run(main)
