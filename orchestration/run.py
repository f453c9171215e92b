"""What holds during one run: the warehouse's lock, its ledger and report, and the clearing up after killed runs."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dagster as dg
import duckdb

from dlt_sources.bitrix24 import privacy
from dlt_sources.bitrix24.client import BitrixClient, Usage
from dlt_sources.bitrix24.errors import BitrixError, ConfigurationError, PortalUnavailable
from dlt_sources.bitrix24.records import ColumnWriter
from dlt_sources.bitrix24.webhook import Webhook, protect_logs
from orchestration.report import Reporter, RunReport, Silent
from warehouse.duckdb_file import explain
from warehouse.errors import WarehouseError
from warehouse.ledger import Ledger
from warehouse.lock import WarehouseLock
from warehouse.rules import load_rules
from warehouse.secret_file import personal_data_key
from warehouse.settings import Settings

JOB = "bitrix24_sync"
EXPECTED = (BitrixError, WarehouseError)
# from its start a run takes seconds to reach the lock, from its launch up to minutes; without it after that, it is dead
SETTLED_S = {dg.DagsterRunStatus.STARTING: 300, dg.DagsterRunStatus.STARTED: 30, dg.DagsterRunStatus.CANCELING: 30}
LOCK_WAIT_S = 10  # the sensor and the schedule hold it for a moment
LAST_WORDS_S = 3  # a run gives the lock back a moment before Dagster writes down its end


@dataclass
class SyncRun:
    """Everything the steps of one run share. Created once per run, in the process that holds the lock."""

    settings: Settings
    ledger: Ledger
    reporter: Reporter = field(default_factory=Silent)
    report: RunReport = field(default_factory=RunReport)
    _client: BitrixClient | None = None
    _writer: ColumnWriter | None = None

    @property
    def client(self) -> BitrixClient:
        """One client per run: all entities share its request bucket and its operating budgets."""
        if self._client is None:
            self._client = BitrixClient(webhooks_of(self.settings), share=self.settings.bitrix24_limit_share)
        return self._client

    @property
    def writer(self) -> ColumnWriter:
        """What turns rows into columns, personal data treated as the settings say."""
        if self._writer is None:
            mode = self.settings.personal_data
            key = b"" if mode == "keep" else personal_data_key(self.settings)
            self._writer = ColumnWriter(mode, key)
            if self.ledger.changed_fact("personal_data", privacy.fingerprint(mode, key)):
                self.report.warnings.append(
                    "PERSONAL_DATA or its key is not that of earlier runs: their rows hold other hashes, which join "
                    "no new ones. Run `b24 sync --full`."
                )
        return self._writer

    def close(self) -> None:
        """Put what was asked of the portal into the report, and how an unfinished run ended into the ledger."""
        if self._client is not None:
            self._count(self._client.usage)
            self._client.close()
        if self.report.as_of is not None and not self.report.succeeded:
            # a warehouse that cannot be written must not hide why the run failed; the next run marks this one
            with suppress(WarehouseError):
                self.ledger.fail_run(self.report.run_id, self.report.error or "stopped", built=self.report.built)

    def _count(self, usage: Usage) -> None:
        self.report.requests, self.report.commands = usage.requests, usage.commands
        self.report.refusals, self.report.retries = usage.refusals, usage.retries
        self.report.operating_seconds = sum(usage.operating_s.values())


def webhooks_of(settings: Settings) -> list[Webhook]:
    """The webhooks of the settings, their secrets guarded in every log from here on."""
    if settings.bitrix24_webhook_url is None:
        raise ConfigurationError(
            "BITRIX24_WEBHOOK_URL is not set. Create an incoming webhook in Bitrix24 (Developer resources, Other, "
            "Incoming webhook) and put its URL into .env; `make demo` needs none."
        )
    urls = settings.bitrix24_webhook_url.get_secret_value().replace(",", " ").split()
    webhooks = [Webhook.parse(url) for url in urls or [""]]
    for webhook in webhooks:
        protect_logs(webhook)
    os.environ.pop("BITRIX24_WEBHOOK_URL", None)  # children (dbt, PostgreSQL) have no use for it
    return webhooks


@contextmanager
def sync_run(settings: Settings, run_id: str, instance: dg.DagsterInstance, reporter: Reporter) -> Iterator[SyncRun]:
    """Hold the warehouse from a run's first step to its last; on the way out the ledger knows how it ended."""
    with WarehouseLock(settings.warehouse_path, f"run {run_id[:8]}", wait_seconds=LOCK_WAIT_S):
        close_dead_runs(instance, alive=run_id)
        run = SyncRun(settings, Ledger(settings.warehouse_path), reporter, RunReport(run_id=run_id))
        try:
            yield run
        finally:
            run.close()


@dg.resource(description="The lock, the ledger and the report of one run")
def sync_run_resource(context: dg.InitResourceContext) -> Iterator[SyncRun]:
    """The run of a job that Dagster launched."""
    if context.instance is None or context.run_id is None:
        raise dg.DagsterInvariantViolationError("the run resource exists only inside a run")
    with known_errors():
        settings = Settings()
        load_rules(settings.rules_path)  # a wrong rule is told before the portal is read, not after
        with sync_run(settings, context.run_id, context.instance, Silent()) as run:
            yield run


def close_dead_runs(instance: dg.DagsterInstance, *, alive: str | None = None) -> list[str]:
    """Mark as failed the runs that a kill left STARTED: they would block the queue for ever.

    Call it only while holding the lock, which no live run can then hold.
    """
    unfinished = dg.RunsFilter(job_name=JOB, statuses=list(SETTLED_S))
    silent = [
        record.dagster_run
        for record in instance.get_run_records(unfinished)
        if record.dagster_run.run_id != alive
        and (record.start_time or record.update_timestamp.timestamp())
        < time.time() - SETTLED_S[record.dagster_run.status]
    ]
    if silent:
        time.sleep(LAST_WORDS_S)
    closed = []
    for run in silent:
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status in SETTLED_S:
            instance.report_run_failed(now, "The process of this run ended without a word; the next run takes over.")
            closed.append(run.run_id)
    return closed


@contextmanager
def known_errors(report: RunReport | None = None) -> Iterator[None]:
    """Turn a failure that has a plain message into Dagster's Failure with that message; only an outage is retried."""
    try:
        yield
    except Exception as error:
        known = next((link for link in _chain(error) if isinstance(link, EXPECTED)), None)
        disk = next((link for link in _chain(error) if isinstance(link, duckdb.Error)), None)
        if known is None and disk is not None:
            known = explain(Settings().warehouse_path, disk)
        if report is not None:
            report.error = str(known or error)
        if known is None:
            raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
        raise dg.Failure(str(known), allow_retries=isinstance(known, PortalUnavailable)) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what caused it; dlt wraps ours several times."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
