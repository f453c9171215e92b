"""`b24 bi superset`: the dashboards' server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from warehouse.errors import SettingsError
from warehouse.postgres import EmbeddedPostgres
from warehouse.settings import Settings

if TYPE_CHECKING:
    from bi.superset.server import Superset

console = Console()
superset_app = typer.Typer(help="Superset with the dashboards of bi/superset.", no_args_is_help=True)


@superset_app.command()
def start() -> None:
    """Start the server, it stays up until it is stopped; the first start makes its database and its login."""
    superset = _superset()
    with _shown() as tell:
        superset.start(tell)
    console.print(f"Superset is up at {superset.address}.", highlight=False)
    _print_login(superset)


@superset_app.command()
def stop() -> None:
    """Stop the server; dashboards, logins and settings stay."""
    console.print("Superset is down." if _superset().stop() else "Superset was not running.")


@superset_app.command()
def status() -> None:
    """Tell whether the server is up, where, and where its log is."""
    superset = _superset()
    if superset.is_running():
        console.print(f"Superset is up at {superset.address}; its log is {superset.log}.", highlight=False)
    else:
        console.print("Superset is down: `b24 bi superset start`.")


@superset_app.command("provision")
def provision_dashboards() -> None:
    """Put the dashboards into the running server, or put them back as they were."""
    from bi.superset.provision import provision

    superset = _superset()
    with _shown() as tell:
        tell("The dashboards are imported")
        dashboards = provision(superset)
    for dashboard in dashboards:
        console.print(f"{dashboard.title:<16} {dashboard.url}", soft_wrap=True, highlight=False)
    _print_login(superset)


@superset_app.command()
def password() -> None:
    """Ask for another password of the admin and set it."""
    superset = _superset()
    new = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
    with _shown() as tell:
        tell("The password is set")
        superset.set_password(new)


def _print_login(superset: "Superset") -> None:
    from bi.superset.server import ADMIN

    console.print(f"Log in at {superset.address} as {ADMIN}, password {superset.password}", highlight=False)


def _superset() -> "Superset":
    from bi.superset.server import Superset

    settings = _settings()
    postgres = EmbeddedPostgres(settings.paths.postgres, timezone=settings.reporting_tz)
    return Superset(settings.paths.superset, postgres)


def _settings() -> Settings:
    """The warehouse to show: the configured one, or the demo's as long as there is no other."""
    settings = Settings()
    if settings.marts_postgres_url is not None:
        raise SettingsError(
            "MARTS_POSTGRES_URL is set: this Superset shows the marts of the embedded PostgreSQL. Connect a Superset "
            "of your own to that server, see bi/superset/README.md."
        )
    is_configured = settings.model_fields_set & {"warehouse_path", "bitrix24_webhook_url"}
    if is_configured or settings.paths.postgres.exists():
        return settings
    from orchestration.demo import FOLDER  # takes seconds

    demo = settings.model_copy(update={"warehouse_path": (FOLDER / "demo.duckdb").absolute()})
    if not demo.paths.postgres.exists():
        return settings
    console.print(f"No portal is configured, so the demo's marts are meant ({FOLDER}).", highlight=False)
    return demo


@contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Each thing that is told becomes a line with the time it takes."""
    columns = (SpinnerColumn(), TextColumn("{task.description} ..."), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def tell(what: str) -> None:
            for task in progress.task_ids:
                progress.update(task, total=1, completed=1)
            progress.add_task(what, total=None)

        yield tell
