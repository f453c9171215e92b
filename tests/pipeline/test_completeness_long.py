"""Complete under every fault, and after every kill; each test prints a table of what it took."""

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pipeline import loading
from pipeline.company import Company, followed
from pipeline.test_completeness import LISTED, WHOLE, assert_ids_equal_truth, differences
from pipeline.test_extraction import LINKS, Warehouse, assert_lists_equal_truth, matches
from rich.console import Console
from rich.table import Table

from dlt_sources.bitrix24 import schema

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

KILLS = 20
PACKAGE_ROWS = 700
MOST_RUNS = 8

# not among them: "overload_503" means that the portal is blocked until its support helps, "command_access_denied" that
# rights were lost; both end a run at once
REQUESTS = (
    "limit_503", "error_500", "limit_429", "html_200", "html_502", "html_503", "html_504", "slow",
    "reset", "truncate",
)  # fmt: skip
COMMANDS = ("command_500", "command_429")
MIXES: dict[str, dict[str, Any]] = {
    "limits": dict.fromkeys(("limit_503", "limit_429", "command_429"), 0.1),
    "gateway": dict.fromkeys(("html_200", "html_502", "html_503", "html_504"), 0.1),
    "network": {**dict.fromkeys(("reset", "truncate", "slow", "error_500"), 0.1), "slow_seconds": 0.05},
    "all at once": {
        **dict.fromkeys(REQUESTS, 0.05), **dict.fromkeys(COMMANDS, 0.1), "slow_seconds": 0.05,
    },
    "all at once, while people work": {
        **dict.fromkeys(REQUESTS, 0.04), **dict.fromkeys(COMMANDS, 0.1), "slow_seconds": 0.05,
        "insert": 0.1, "update": 0.1, "delete": 0.1,
    },
}  # fmt: skip


def warehouse_of(company: Company) -> Warehouse:
    warehouse = Warehouse(company.folder, company.portal)
    warehouse.path = company.path
    return warehouse


def alike(raw: str | None, truth: Any) -> bool:
    """Deals whose method must rest come by another one, which spells what is empty, and money, in its own way."""
    if truth in ("", "0"):
        return raw in (None, truth)
    if isinstance(truth, str) and re.fullmatch(r"-?[0-9]+[.][0-9]+", truth) and raw:
        return Decimal(raw) == Decimal(truth)
    return matches(raw, truth)


def until_it_ends(company: Company, **config: Any) -> tuple[int, int, int]:
    """Sync again after each outage; returns runs, requests and retries."""
    requests = retries = 0
    said: list[str] = []
    for run in range(1, MOST_RUNS + 1):
        try:
            report = company.sync(**config)
        except dg.Failure as failure:  # an outage too long for a run, which ends in bounded time
            said.append(str(failure.description))
            continue
        requests, retries = requests + report.requests, retries + report.retries
        if not report.warnings:
            return run, requests, retries
        said += report.warnings
    pytest.fail(f"{MOST_RUNS} runs were not enough: {said}")


def shown(
    title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*map(str, row))
    with capsys.disabled():
        Console(width=140).print(table)


@pytest.mark.parametrize("seed", [21])
@pytest.mark.parametrize("mix", MIXES)
def test_complete_under_faults(tmp_path: Path, mix: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A first load, a run some days later and its sweep: slower, and nothing else."""
    plan = MIXES[mix]
    rows = []
    with followed(tmp_path, deals=150, seed=seed, frozen="insert" not in plan) as company:
        for step, config in (("first load", {}), ("two days later", {"sweep": False}), ("a sweep", {"sweep": True})):
            company.portal.reset_stats()
            company.portal.faults(plan)
            rows.append((step, *until_it_ends(company, **config), sum(company.portal.stats()["faults"].values())))
            company.portal.faults({})
            if "insert" in plan:
                company.sync(sweep=True)  # what changed behind the reader is the next run's
            if step != "two days later":
                assert_ids_equal_truth(company)
                # a merge that moves a link does not mark its deal as modified
                tables = LISTED if step == "first load" else [one for one in LISTED if one not in (*WHOLE, *LINKS)]
                assert_lists_equal_truth(
                    warehouse_of(company), company.portal.truth(),
                    but_for=schema.LAST_ACTIVITY, tables=tables, alike=alike,
                )  # fmt: skip
            if step == "first load":
                company.portal.advance(2, deletions=True, merges=True, restores=True)
        assert differences(company.verify()) == {}
    shown(f"{mix}, seed {seed}", ("step", "runs", "requests", "retries", "faults"), rows, capsys)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with followed(tmp_path_factory.mktemp("portal"), deals=150, seed=22) as company:
        yield company


def load(company: Company, path: Path, *, kill_after: float | None = None) -> tuple[str, float]:
    """Run the loading in a process of its own; returns its last word, and the seconds since it began to read."""
    process = subprocess.Popen(
        [sys.executable, loading.__file__, company.portal.webhook_url, str(path), str(PACKAGE_ROWS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    began = time.monotonic()
    if kill_after is None:
        said = process.stdout.read()
        assert process.wait() == 0
        process.stdout.close()
        return said.strip(), time.monotonic() - began
    time.sleep(kill_after)
    process.kill()
    process.stdout.close()
    assert process.wait() in (-signal.SIGKILL, 0)
    return "killed", time.monotonic() - began


@pytest.mark.parametrize("seed", [23])
def test_complete_after_a_kill_at_any_moment(
    portal: Company, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty first loads, each killed at a random moment and taken up by another process: no row lost, none twice."""
    draw = random.Random(seed)
    truth = portal.portal.truth()
    undisturbed, seconds = load(portal, tmp_path / "whole.duckdb")
    rows = []
    for number in range(1, KILLS + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        company = Company(folder, portal.portal)
        moment = draw.uniform(0, seconds)
        load(portal, company.path, kill_after=moment)
        kept, lists = left_by(company)
        again, _ = load(portal, company.path)
        assert_lists_equal_truth(warehouse_of(company), truth)
        assert differences(company.verify()) == {}
        rows.append((number, f"{moment:.2f}", kept, lists, again.removeprefix("done ")))
    columns = ("kill", "after, s", "rows kept", "lists read to their end", "rows read by the next run")
    title = f"Kills in a first load of {undisturbed.removeprefix('done ')} rows and {seconds:.1f} s, seed {seed}"
    shown(title, columns, rows, capsys)


def left_by(company: Company) -> tuple[int, int]:
    """Rows in the raw tables, and lists that the ledger calls complete."""
    if not company.path.exists():
        return 0, 0
    tables = company.query(
        "select coalesce(sum(estimated_size), 0) from duckdb_tables() where schema_name = 'raw_bitrix24' "
        "and not starts_with(table_name, '_dlt')"
    )
    complete = sum(position.is_complete for position in company.ledger.positions().values())
    return int(tables[0][0]), complete
