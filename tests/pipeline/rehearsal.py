"""A stand-in portal and a warehouse that follows it through the command, as a user would run it."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pipeline.calculator import calculate
from pipeline.compare import PRIMARY_KEYS
from psycopg.rows import dict_row

from demo.server.running import PortalProcess

SECRET = "q7hv0n4sx9zk2w5m"  # the webhook's code of every rehearsal
OWN_FILES = (
    "campaign_messages",
    "channel_map",
    "client_merge_map",
    "fx_rates_manual",
    "holidays",
    "product_cost",
    "project_budget",
    "support_sources",
    "survey_answers",
    "web_sessions",
)
B24 = Path(sys.executable).with_name("b24")


@dataclass
class Rehearsal:
    """A portal, the warehouse that follows it, and what the command said."""

    folder: Path
    portal: PortalProcess
    environment: dict[str, str]
    rate_history: list[tuple[datetime, list[dict[str, Any]]]] = field(default_factory=list)
    product_history: list[tuple[datetime, list[dict[str, Any]]]] = field(default_factory=list)
    screens: list[str] = field(default_factory=list)

    def b24(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command as a user would."""
        done = subprocess.run(
            [B24, *arguments], env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=500
        )
        self.screens.append(done.stdout + done.stderr)
        if check and done.returncode:
            pytest.fail(f"b24 {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def sync(self, *arguments: str) -> dict[str, Any]:
        """Run a sync and return its summary."""
        self.b24("sync", "--json", "summary.json", *arguments)
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        as_of = datetime.fromisoformat(summary["as_of"])
        truth = self.portal.truth()
        self.rate_history.append((as_of, truth["currencies"]))
        self.product_history.append((as_of, truth["products"]))
        return summary

    def inputs(self, name: str) -> list[dict[str, str]]:
        """The rows of an input file."""
        with (self.folder / "inputs" / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def url(self, role: str = "bi_reader") -> str:
        """Where the marts are published."""
        return self.b24("postgres", "url", "--role", role).stdout.strip()

    def marts(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of the marts that the calculator knows, read as a BI tool would."""
        with psycopg.connect(self.url(), row_factory=dict_row) as connection:
            return {
                name: connection.execute(f"select * from marts.{name}").fetchall()  # type: ignore[arg-type]
                for name in PRIMARY_KEYS
            }

    def answers(self, as_of: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
        """What the calculator makes of the portal's present truth; `options` are its own."""
        return calculate(
            self.portal.truth(),
            ad_spend=self.inputs("ad_spend"),
            sales_plan=self.inputs("sales_plan"),
            alert_thresholds=self.inputs("funnel_alert_thresholds"),
            **{name: self.inputs(name) for name in OWN_FILES},
            files={path.stem: self.inputs(path.stem) for path in (self.folder / "inputs").glob("*.csv")},
            as_of=datetime.fromisoformat(as_of),
            rate_history=self.rate_history,
            product_history=self.product_history,
            **options,
        )


@contextmanager
def rehearsal(*, settings: Mapping[str, str] | None = None, **options: Any) -> Iterator[Rehearsal]:
    """A portal with the options of `python -m demo.portal`, and a warehouse of its own in a folder of its own."""
    # pytest's own folders are closed to the unprivileged user that PostgreSQL runs as
    folder = Path(tempfile.mkdtemp(prefix="b24-rehearsal-"))
    folder.chmod(0o755)
    with PortalProcess.start(frozen=True, code=SECRET, inputs=folder / "inputs", **options) as portal:
        environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"} | {
            "BITRIX24_WEBHOOK_URL": portal.webhook_url,
            "WAREHOUSE_PATH": str(folder / "company.duckdb"),
            "INPUTS_PATH": str(folder / "inputs"),
            "CBR_URL": portal.cbr_url,
            "COLUMNS": "200",
            **(settings or {}),
        }
        rehearsed = Rehearsal(folder, portal, environment)
        try:
            yield rehearsed
        finally:
            rehearsed.b24("postgres", "stop", check=False)
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Sync:
    """One sync: its summary, the published marts and the right answers at that moment, and the portal's own count."""

    summary: dict[str, Any]
    marts: dict[str, list[dict[str, Any]]]
    answers: dict[str, list[dict[str, Any]]]
    stats: dict[str, Any]


@dataclass
class TwoDays:
    """A first load, and the sync after a simulated day."""

    rehearsal: Rehearsal
    first: Sync
    second: Sync


def synced(rehearsed: Rehearsal, *arguments: str) -> Sync:
    """Sync with these arguments of `b24 sync`, and read what came of it."""
    rehearsed.portal.reset_stats()
    summary = rehearsed.sync(*arguments)
    stats = rehearsed.portal.stats()
    return Sync(summary, rehearsed.marts(), rehearsed.answers(summary["as_of"]), stats)
