"""The command `b24`."""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
import typer
from rich.markup import escape

from dlt_sources.bitrix24 import preflight
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.errors import ConfigurationError
from orchestration import dbt
from orchestration.assets import publish_marts
from orchestration.check import print_check
from orchestration.console import LiveProgress, console, print_status, published_table, summary_table
from orchestration.report import Reporter, RunReport
from orchestration.run import EXPECTED, JOB, sync_run, webhook_of
from warehouse.ledger import read_status
from warehouse.postgres import AUTHOR, READER, EmbeddedPostgres
from warehouse.settings import Settings

app = typer.Typer(
    help="Bitrix24 CRM to tested marts: extract, load, build, test, publish.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
postgres_app = typer.Typer(help="The embedded PostgreSQL that BI tools read.", no_args_is_help=True)
app.add_typer(postgres_app, name="postgres")


def main() -> None:
    """Run a command; a failure that has a plain message ends in that message and exit code 1."""
    try:
        app()
    except EXPECTED as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Interrupted. What was committed stays; the next run goes on from there.")


def _fail(message: str) -> None:
    console.print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(1)


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance beside the warehouse: what the UI shows and the schedule uses."""
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        yield instance


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME if set, else a folder beside the warehouse, with its settings."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(settings.paths.dagster)))
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(
            "telemetry: {enabled: false}\n"
            "# one run at a time; the warehouse's lock is the guarantee, the pool only orders the queue\n"
            "concurrency: {pools: {granularity: run, default_limit: 1}}\n"
        )
    return home


def run_sync(settings: Settings, reporter: Reporter, config: dict[str, Any]) -> RunReport:
    """The job of the schedule, in this process. Its failure is in the report, never a traceback."""
    from orchestration.definitions import defs  # loads the dbt manifest: only commands that run need it

    run_id = str(uuid.uuid4())
    with dagster_instance(settings) as instance, sync_run(settings, run_id, instance, reporter) as run:
        result = defs.resolve_job_def(JOB).execute_in_process(
            run_config={
                "ops": {"bitrix24": {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
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
            return f"{event.step_key}: {error.message.strip() if error else 'failed'}"
    return "the run failed before its first step"


@app.command()
def sync(
    full: Annotated[bool, typer.Option("--full", help="Read everything again, not only what changed.")] = False,
    since: Annotated[str | None, typer.Option(help="YYYY-MM-DD: load what changed since that day first.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="ISO 8601 instant to stand for now (default: the portal's clock).")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary to this file as well.")] = None,
) -> None:
    """Read the portal's changes, build and test the marts, publish them."""
    settings = Settings()
    webhook_of(settings)
    with LiveProgress() as progress:
        report = run_sync(settings, progress, {"full": full, "since": since, "as_of": as_of})
    console.print(summary_table([("this run", report)]))
    if json_file:
        json_file.write_text(json.dumps(report.to_dict(), default=str, ensure_ascii=False, indent=2) + "\n")
    _finish(report)


def _finish(report: RunReport) -> None:
    for warning in report.tests_warned:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)
    if not report.succeeded:
        _fail(report.error or "the run did not finish")


@app.command()
def check() -> None:
    """Ask a portal what it lets us read, and what a first load would cost; changes nothing."""
    settings = Settings()
    with BitrixClient(webhook_of(settings), share=settings.bitrix24_limit_share) as client:
        complete = print_check(preflight.inspect(client), client.host, settings.bitrix24_limit_share)
    raise typer.Exit(0 if complete else 1)


@app.command()
def publish(
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Publish even if a table lost more rows than the guard allows.")
    ] = False,
) -> None:
    """Publish the marts of the last good build again, without reading the portal."""
    settings = Settings()
    dbt.ensure_manifest(settings)
    run_id = str(uuid.uuid4())
    with dagster_instance(settings) as instance, LiveProgress() as progress:
        with sync_run(settings, run_id, instance, progress) as run:
            publish_marts(run, allow_shrink=allow_shrink)
    console.print(published_table(run.report.published))


@app.command()
def status() -> None:
    """Show the last run, how fresh each table is, disk use, and where BI tools connect."""
    settings = Settings()
    print_status(read_status(settings.warehouse_path))
    server = EmbeddedPostgres(settings.paths.postgres)
    if settings.marts_postgres_url is not None:
        console.print("BI tools connect to the server of MARTS_POSTGRES_URL, schema marts.")
    elif server.is_running():
        console.print(
            f"BI tools connect to {server.address}, schema marts; `b24 postgres url` prints the password too."
        )
    else:
        console.print("The embedded PostgreSQL is down: `b24 postgres start`.")


@postgres_app.command("start")
def postgres_start() -> None:
    """Start the server; it stays up until it is stopped."""
    server = _embedded()
    server.start()
    console.print(f"PostgreSQL is up at {server.address}.")


@postgres_app.command("stop")
def postgres_stop() -> None:
    """Stop the server."""
    console.print("PostgreSQL is down." if _embedded().stop() else "PostgreSQL was not running.")


@postgres_app.command("url")
def postgres_url(
    role: Annotated[
        str, typer.Option(help="bi_reader (read-only) or bi_author (may create views in analyst).")
    ] = READER,
) -> None:
    """Print the URL for a BI tool, password included."""
    if role not in {READER, AUTHOR}:
        raise typer.BadParameter(f"{role} is neither {READER} nor {AUTHOR}")
    typer.echo(_embedded().url(role))


def _embedded() -> EmbeddedPostgres:
    settings = Settings()
    if settings.marts_postgres_url is not None:
        raise ConfigurationError("MARTS_POSTGRES_URL is set: the marts are on that server, none is embedded here.")
    return EmbeddedPostgres(settings.paths.postgres, timezone=settings.reporting_tz)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stand-in portal running too.")] = False,
) -> None:
    """Show everything on a stand-in portal: two syncs with a day between, figures, an address for BI tools."""
    from orchestration.demo import run_demo  # the generator of names takes a while to load

    _finish(run_demo(keep=keep))


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Open Dagster's UI on the job, its schedule and the asset graph."""
    settings = Settings()
    dagster_home(settings)
    dbt.ensure_manifest(settings)
    dagster = Path(sys.executable).with_name("dagster")
    os.execv(dagster, [str(dagster), "dev", "-m", "orchestration.definitions", "-p", str(port)])  # noqa: S606


if __name__ == "__main__":
    main()
