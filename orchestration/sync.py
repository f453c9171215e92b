"""One run of the job in this process, and Dagster's home beside the warehouse."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from dlt_sources.bitrix24 import preflight
from dlt_sources.bitrix24.sweep import Check
from orchestration import completeness, dbt
from orchestration.assets import publish_marts
from orchestration.report import Reporter, RunReport
from orchestration.run import JOB, sync_run
from warehouse.errors import WarehouseError
from warehouse.publish import PublishedTable
from warehouse.rules import load_rules
from warehouse.settings import Settings

READ_HERE = ["files", "dbt", "postgres"]  # the steps of the job that ask the portal nothing
INTERRUPTED = "Interrupted. What was committed stays; the next run goes on from there."
DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
# one run at a time; the warehouse's lock is the guarantee, the pool only orders the queue
concurrency: {pools: {granularity: run, default_limit: 1}}
"""


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance beside the warehouse: what the UI shows and the schedule uses."""
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        yield instance


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME if set, else a folder beside the warehouse, with its settings."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(settings.paths.dagster)))
    config = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not config.exists():
            config.write_text(DAGSTER_YAML)
    except OSError as error:
        raise WarehouseError(
            f"The folder {home} cannot be written ({error.strerror}). "
            "Make its folder writable for this user, or set WAREHOUSE_PATH to another place."
        ) from None
    return home


def run_sync(settings: Settings, reporter: Reporter, config: dict[str, Any]) -> RunReport:
    """The job of the schedule, in this process. Its failure is in the report, never a traceback.

    Raises:
        SettingsError: a rule is wrong; nothing was done.
    """
    return _run_job(settings, reporter, {"bitrix24": {"config": config}}, None)


def run_build(settings: Settings, reporter: Reporter) -> RunReport:
    """The same job without the portal: input files, models, tests, publish, as of the last load.

    Raises:
        SettingsError: a rule is wrong; nothing was done.
        WarehouseError: nothing was loaded yet, or the last run did not load everything.
    """
    return _run_job(settings, reporter, {}, READ_HERE)


def _run_job(settings: Settings, reporter: Reporter, ops: dict[str, Any], steps: list[str] | None) -> RunReport:
    load_rules(settings.rules_path)  # a wrong rule is told before the portal is read, not after
    run_id = str(uuid.uuid4())
    with dagster_instance(settings) as instance, sync_run(settings, run_id, instance, reporter) as run:
        if steps is not None and (last := run.ledger.latest_run()).status not in {"loaded", "built", "published"}:
            raise WarehouseError(
                f"The last run ended before everything was loaded and tested ({last.error or 'it was killed'}). "
                "Run `b24 sync`, which builds too."
            )
        from orchestration.definitions import defs  # takes seconds, so only once the lock is ours

        result = defs.resolve_job_def(JOB).execute_in_process(
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            op_selection=steps,
            instance=instance,
            run_id=run_id,
            resources={"sync_run": run},
            raise_on_error=False,
        )
        if not result.success:
            run.report.error = _cause(result)
        return run.report


def _cause(result: dg.ExecuteInProcessResult) -> str:
    """The message of the step that failed: a Failure's own words, else the exception's last line."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return data.user_failure_data.description
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None and error.cls_name == "DagsterExecutionInterruptedError":
                return INTERRUPTED
            return f"{event.step_key}: {error.message.strip() if error else 'failed'}"
    return "the run failed before its first step"


def run_publish(settings: Settings, reporter: Reporter, *, allow_shrink: bool) -> list[PublishedTable]:
    """Publish what the last good build left, without a run of the job.

    Raises:
        PublishError: nothing was published.
        WarehouseError: the last run did not get as far as marts that passed their tests.
    """
    dbt.ensure_manifest(settings)
    with (
        dagster_instance(settings) as instance,
        sync_run(settings, str(uuid.uuid4()), instance, reporter) as run,
    ):
        publish_marts(run, allow_shrink=allow_shrink)
        return run.report.published


def run_verify(settings: Settings, reporter: Reporter, *, healing: bool, accept_rights: bool) -> list[Check]:
    """Compare every id with the portal, without a run of the job.

    Raises:
        WarehouseError: there is no warehouse yet, or it is another portal's.
        BitrixError: the portal does not answer, or refuses.
    """
    with (
        dagster_instance(settings) as instance,
        sync_run(settings, str(uuid.uuid4()), instance, reporter) as run,
    ):
        run.ledger.latest_run()
        facts = preflight.inspect(run.client)
        run.ledger.bind_portal(run.client.host, redirected_from=run.client.asked_host)
        if accept_rights:
            run.ledger.accept_rights(facts.rights)
        return completeness.verify(run, facts, healing=healing)
