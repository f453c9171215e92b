"""The command `b24`. Each command imports what it needs: Dagster and dbt take seconds, `b24 postgres url` shall not."""

import json
import os
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from orchestration.bi import bi_app
from warehouse.errors import SettingsError
from warehouse.postgres import AUTHOR, READER, EmbeddedPostgres
from warehouse.settings import Settings

if TYPE_CHECKING:
    from orchestration.report import RunReport

console = Console()
ACCEPT_RIGHTS = "Judge deletions by the webhook's present rights, although they are less than before."
INSTANTS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"]  # without an offset: in the reporting zone
app = typer.Typer(
    help="Bitrix24 CRM to tested marts: extract, load, build, test, publish.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
postgres_app = typer.Typer(help="The embedded PostgreSQL that BI tools read.", no_args_is_help=True)
app.add_typer(postgres_app, name="postgres")
app.add_typer(bi_app, name="bi")


def main() -> None:
    """Run a command; a failure that has a plain message ends in that message and exit code 1."""
    try:
        app()
    except Exception as error:
        from orchestration.run import EXPECTED

        if not isinstance(error, EXPECTED):
            raise
        _fail(str(error))


def _fail(message: str) -> None:
    console.print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(1)


@app.command()
def check(
    deals: Annotated[
        int | None,
        typer.Option(min=1, help="Tell also what so many deals would cost, all else in proportion."),
    ] = None,
) -> None:
    """Ask a portal what it lets us read, and what a first load would cost; changes nothing."""
    from dlt_sources.bitrix24 import preflight
    from dlt_sources.bitrix24.client import BitrixClient
    from orchestration.check import as_if, print_check, print_cost
    from orchestration.run import webhooks_of

    settings = Settings()
    webhooks, share = webhooks_of(settings), settings.bitrix24_limit_share
    with BitrixClient(webhooks, share=share) as client:
        facts = preflight.inspect(client, dictionaries=True)
        complete = print_check(facts, client.host, share, len(webhooks))
    if deals:
        console.print(f"As if the portal had {deals:,} deals:")
        print_cost(as_if(facts, deals), share, len(webhooks))
    raise typer.Exit(0 if complete else 1)


@app.command()
def configure(
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Look at the portal, or at what is loaded of it, and propose a rules.yml in Russian with its reasons."""
    from dlt_sources.bitrix24.client import BitrixClient
    from orchestration import configure as proposing
    from orchestration.run import webhooks_of
    from orchestration.survey import survey_portal, survey_warehouse
    from warehouse.duckdb_file import open_warehouse
    from warehouse.ledger import read_status

    settings = Settings()
    known = proposing.channel_rules(settings.inputs_path), proposing.support_sources(settings.inputs_path)
    loaded = settings.warehouse_path.exists() and read_status(settings.warehouse_path).last_published
    if loaded:
        with open_warehouse(settings.warehouse_path, read_only=True) as con:
            found = proposing.propose(survey_warehouse(con, f"{loaded.as_of:%d.%m.%Y %H:%M}"), *known)
    else:
        with BitrixClient(webhooks_of(settings), share=settings.bitrix24_limit_share) as client:
            found = proposing.propose(survey_portal(client), *known)
    proposing.write(
        found, settings, force=force, say=lambda line: console.print(escape(line), highlight=False, soft_wrap=True)
    )


@app.command()
def sync(
    full: Annotated[bool, typer.Option("--full", help="Read everything again, not only what changed.")] = False,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Load what changed since that day first.")
    ] = None,
    as_of: Annotated[
        datetime | None, typer.Option(formats=INSTANTS, help="What stands for now (default: the portal's clock).")
    ] = None,
    sweep: Annotated[
        bool | None,
        typer.Option("--sweep/--no-sweep", help="Look for deletions now, or not (default: as SWEEP_DAYS says)."),
    ] = None,
    accept_rights: Annotated[bool, typer.Option("--accept-rights", help=ACCEPT_RIGHTS)] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary to this file as well.")] = None,
) -> None:
    """Read the portal's changes, build and test the marts, publish them."""
    from orchestration.console import LiveProgress, summary_table
    from orchestration.run import webhooks_of
    from orchestration.sync import run_sync

    settings = Settings()
    webhooks_of(settings)
    if full and since:
        raise typer.BadParameter("--full reads everything, --since only what is recent: choose one")
    if json_file and not json_file.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {json_file} does not exist")
    config = {
        "full": full,
        "sweep": sweep,
        "accept_rights": accept_rights,
        "since": since and since.date().isoformat(),
        "as_of": as_of and (as_of if as_of.tzinfo else as_of.replace(tzinfo=settings.zone)).isoformat(),
    }
    with LiveProgress() as progress:
        report = run_sync(settings, progress, config)
    if report.entities:
        console.print(summary_table([("this run", report)]))
    if json_file:
        json_file.write_text(json.dumps(report.to_dict(), default=str, ensure_ascii=False, indent=2) + "\n")
    _finish(report)


def _finish(report: "RunReport") -> None:
    for change in report.schema_changes:
        console.print(f"custom field: {escape(str(change))}", highlight=False)
    for warning in [*report.warnings, *report.tests_warned]:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)
    if not report.succeeded:
        _fail(report.error or "the run did not finish")


@app.command()
def build() -> None:
    """Build, test and publish the marts from what is loaded, after a change of rules or input files."""
    from orchestration.console import LiveProgress
    from orchestration.sync import run_build

    with LiveProgress() as progress:
        report = run_build(Settings(), progress)
    _finish(report)
    console.print(
        f"{report.models_built} models are built, {report.tests_passed} tests passed, "
        f"{len(report.published)} tables are published."
    )


@app.command()
def verify(
    mend: Annotated[
        bool, typer.Option("--heal", help="Mark what is gone in the portal, and read again what is missing here.")
    ] = False,
    accept_rights: Annotated[bool, typer.Option("--accept-rights", help=ACCEPT_RIGHTS)] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all differences to this file.")] = None,
) -> None:
    """Prove that the warehouse holds every row of the portal, or name the ones that differ; reads ids only."""
    from orchestration.completeness import print_checks
    from orchestration.console import LiveProgress
    from orchestration.sync import run_verify

    with LiveProgress() as progress:
        checks = run_verify(Settings(), progress, healing=mend, accept_rights=accept_rights)
    print_checks(checks)
    if json_file:
        json_file.write_text(json.dumps([asdict(one) for one in checks], default=str, indent=2) + "\n")
    is_changed = any(one.marked or one.healed for one in checks)
    if is_changed:
        console.print("The warehouse is mended; `b24 sync` builds and publishes the marts from it.")
    raise typer.Exit(0 if all(one.is_equal or one.is_refused for one in checks) else 1)


@app.command()
def reconcile(
    month: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m"], help="Such as 2026-03 (default: the last full month).")
    ] = None,
    pipeline: Annotated[int | None, typer.Option(help="Id of one deal pipeline (default: all).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file as well.")] = None,
) -> None:
    """Ask the portal itself for counts and sums, and tell the reason of each difference to the marts."""
    from dlt_sources.bitrix24.client import BitrixClient
    from orchestration.console import LiveProgress
    from orchestration.reconcile import Reconciliation, last_full_month, print_lines
    from orchestration.run import webhooks_of
    from warehouse.ledger import Ledger

    settings = Settings()
    webhooks = webhooks_of(settings)
    if json_file and not json_file.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {json_file} does not exist")
    as_of = Ledger(settings.warehouse_path).latest_run().as_of
    first = month.date() if month else last_full_month(as_of, settings.zone)
    with BitrixClient(webhooks, share=settings.bitrix24_limit_share) as client, LiveProgress() as progress:
        lines = Reconciliation(client, settings, progress, first, pipeline).run()
    print_lines(lines, as_of)
    if json_file:
        json_file.write_text(
            json.dumps([line.to_dict() for line in lines], default=str, ensure_ascii=False, indent=2) + "\n",
            encoding="utf-8",
        )
    raise typer.Exit(0 if all(line.is_explained for line in lines) else 1)


@app.command()
def explain(
    mart: Annotated[str, typer.Argument(help="Such as manager_performance.")],
    column: Annotated[str, typer.Argument(help="Such as revenue.")],
    where: Annotated[
        str, typer.Option(help="SQL on the mart, such as \"manager_key = 7 and period_month = '2026-03-01'\".")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="How many rows to print.")] = 20,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all rows to this file.")] = None,
) -> None:
    """Show the deals, leads, calls or tasks behind one number, and the rule that counted them."""
    from orchestration import explain as explaining
    from warehouse.rules import load_rules

    settings = Settings()
    rules = load_rules(settings.rules_path)
    with explaining.reading(settings) as con:
        answer = explaining.explain(con, mart, column, where, rules)
    explaining.print_answer(answer, limit)
    if csv_file:
        explaining.write_csv(answer, csv_file)
        console.print(f"{csv_file}: строк {len(answer.behind)}", highlight=False)
    raise typer.Exit(0 if answer.agrees else 1)


@app.command()
def publish(
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Publish even if a table lost more rows than the guard allows.")
    ] = False,
) -> None:
    """Publish the marts of the last good build again, without reading the portal."""
    from orchestration.console import LiveProgress, published_table
    from orchestration.sync import run_publish

    with LiveProgress() as progress:
        tables = run_publish(Settings(), progress, allow_shrink=allow_shrink)
    console.print(published_table(tables))


@app.command()
def status() -> None:
    """Show the last run, how fresh each table is, disk use, and where BI tools connect."""
    from orchestration.console import print_status
    from warehouse.ledger import read_status
    from warehouse.lock import holder

    settings = Settings()
    if at_work := holder(settings.warehouse_path):
        console.print(f"At work since {at_work.since}: {at_work.command}, process {at_work.pid}.")
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
        raise SettingsError("MARTS_POSTGRES_URL is set: the marts are on that server, none is embedded here.")
    return EmbeddedPostgres(settings.paths.postgres, timezone=settings.reporting_tz)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stand-in portal running too.")] = False,
) -> None:
    """Show everything on a stand-in portal: two syncs with a day between, figures, an address for BI tools."""
    from orchestration.demo import run_demo

    _finish(run_demo(keep=keep))


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Open Dagster's UI on the job, its schedule and the asset graph."""
    from orchestration import dbt
    from orchestration.sync import dagster_home

    settings = Settings()
    dagster_home(settings)
    dbt.ensure_manifest(settings)
    dagster = Path(sys.executable).with_name("dagster")
    os.execv(dagster, [str(dagster), "dev", "-m", "orchestration.definitions", "-p", str(port)])  # noqa: S606


if __name__ == "__main__":
    main()
