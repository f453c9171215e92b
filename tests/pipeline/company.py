"""A warehouse that follows a stand-in portal in this process: the product's own steps, without dbt and publishing."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from demo.server.core import PortalOptions
from demo.server.running import PortalControl, running_portal
from demo.world import World
from dlt_sources.bitrix24 import preflight, schema
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.sweep import Check
from orchestration import completeness
from orchestration.assets import SyncConfig, bitrix24_tables, detail_tables
from orchestration.report import RunReport, Silent
from orchestration.run import SyncRun, webhooks_of
from warehouse.ledger import Ledger
from warehouse.settings import Settings

NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
# one for all: each new one leaves connections behind that only the garbage collector closes, at any moment
INSTANCE = dg.DagsterInstance.ephemeral()


class HurriedClock:
    """The client's clock: waiting costs no time here, because these portals keep no limits."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


class Watch(Silent):
    """Calls `act` once, as soon as rows of an entity whose name begins with `name` are told of."""

    def __init__(self, name: str, act: Any) -> None:
        self.name, self.act, self.has_acted = name, act, False

    def rows(self, entity: str, rows: int, share: float | None) -> None:
        if entity.startswith(self.name) and not self.has_acted:
            self.has_acted = True
            self.act()


@dataclass
class Company:
    """A portal and the warehouse that follows it, with the real ledger."""

    folder: Path
    portal: PortalControl
    settings: dict[str, Any] = field(default_factory=dict)
    runs: int = 0

    @property
    def path(self) -> Path:
        return self.folder / "company.duckdb"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.path)

    def run(self, reporter: Silent | None = None) -> SyncRun:
        """The shared things of one run."""
        given: dict[str, Any] = {
            "_env_file": None,
            "bitrix24_webhook_url": self.portal.webhook_url,
            "warehouse_path": self.path,
            "inputs_path": self.folder / "inputs",
            "personal_data": "keep",
            **self.settings,
        }
        self.runs += 1
        run = SyncRun(Settings(**given), self.ledger, reporter or Silent(), RunReport(run_id=f"run {self.runs}"))
        hurried = HurriedClock()
        run._client = BitrixClient(webhooks_of(run.settings), clock=hurried, sleep=hurried.sleep)
        return run

    def sync(self, *, reporter: Silent | None = None, details: bool = False, **config: Any) -> RunReport:
        """What `b24 sync` does up to the raw tables.

        Raises:
            dagster.Failure: as the step of the job.
        """
        run = self.run(reporter)
        try:
            list(bitrix24_tables(dg.build_asset_context(instance=INSTANCE), SyncConfig(**config), sync_run=run))
            if details:
                list(detail_tables(dg.build_asset_context(instance=INSTANCE), sync_run=run))
            run.ledger.finish_run(run.report.run_id)
            run.report.succeeded = True
        finally:
            run.close()
        return run.report

    def sweep(
        self, *, forced: bool | None = True, accept_rights: bool = False, reporter: Silent | None = None
    ) -> RunReport:
        """What follows the loading in `b24 sync`, alone."""
        run = self.run(reporter)
        try:
            facts = preflight.inspect(run.client)
            if accept_rights:
                run.ledger.accept_rights(facts.rights)
            run.report.checks = completeness.sweep(run, facts, run.ledger.positions(), forced=forced)
        finally:
            run.close()
        return run.report

    def verify(
        self, *, healing: bool = False, accept_rights: bool = False, reporter: Silent | None = None
    ) -> dict[str, Check]:
        """What `b24 verify` finds, by list."""
        run = self.run(reporter)
        try:
            facts = preflight.inspect(run.client)
            if accept_rights:
                run.ledger.accept_rights(facts.rights)
            return {check.entity: check for check in completeness.verify(run, facts, healing=healing)}
        finally:
            run.close()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql, list(values)).fetchall()

    def change(self, *statements: str) -> None:
        """Do something to the warehouse by hand."""
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                connection.execute(statement)

    def keys(self, table: str, *, deleted: bool = False) -> set[tuple[str, ...]]:
        """Keys of the living rows of a raw table, or of its tombstones."""
        names = ", ".join(schema.KEYS[table])
        mark = "not null" if deleted else "null"
        rows = self.query(f"select {names} from raw_bitrix24.{table} where _deleted_at is {mark}")
        assert len(set(rows)) == len(rows), f"{table} repeats a key"
        return set(rows)


@contextmanager
def followed(folder: Path, *, deals: int = 60, seed: int = 5, **options: Any) -> Iterator[Company]:
    """A company whose portal keeps no limits and whose clock stands still."""
    settings: Mapping[str, Any] = {"limits": False, "frozen": True, **options}
    folder.mkdir(parents=True, exist_ok=True)
    with running_portal(World.generate(seed, deals, NOW), PortalOptions(seed=seed, **settings)) as portal:
        yield Company(folder, portal)
