"""`b24 bi`: who may read which marts, and the dashboards."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.superset import superset_app
from warehouse.postgres import AUTHOR, READER, marts_target
from warehouse.settings import Settings

console = Console()
bi_app = typer.Typer(help="Readers of the marts, and dashboards.", no_args_is_help=True)
bi_app.add_typer(superset_app, name="superset")

UserName = Annotated[str, typer.Option("--user", help="Login of the user, such as i.ivanov.")]


@bi_app.command("grant")
def bi_grant(
    user: UserName,
    departments: Annotated[
        str, typer.Option(help="Names, paths or numbers of departments with commas between; each with all below it.")
    ],
) -> None:
    """Let a user read the rows of some departments; run it again to change which."""
    from warehouse.rights import grant

    granted = grant(marts_target(Settings()), user, departments.split(","))
    console.print(f"{user} sees, each with all below it:", highlight=False)
    for path in granted.departments:
        console.print(f"  {escape(path)}", highlight=False)
    if granted.note:
        console.print(f"[yellow]warning:[/] {escape(granted.note)}", highlight=False)
    if granted.url:
        console.print("For a BI tool; the password is shown this once only:")
        typer.echo(granted.url)
    else:
        console.print("The login was there already and keeps its password (a new one: `b24 bi revoke`, then grant).")


@bi_app.command("revoke")
def bi_revoke(user: UserName) -> None:
    """Take a user's rights, sessions and login away."""
    from warehouse.rights import revoke

    revoke(marts_target(Settings()), user)
    console.print(f"{user} is gone.", highlight=False)


@bi_app.command("users")
def bi_users() -> None:
    """List who reads what."""
    from warehouse.rights import restricted_users

    table = Table(show_edge=False)
    for column in ("user", "departments granted"):
        table.add_column(column)
    for column in ("departments in all", "managers"):
        table.add_column(column, justify="right")
    for role in (READER, AUTHOR):
        table.add_row(role, "everything", "", "")
    for user in restricted_users(marts_target(Settings())):
        table.add_row(user.name, escape("\n".join(user.given)), str(user.departments), str(user.managers))
    console.print(table)


@bi_app.command("powerbi")
def bi_powerbi(
    file: Annotated[Path, typer.Option(help="Where to write the file.")] = Path("marts.pbids"),
) -> None:
    """Write a file that tells Power BI Desktop where the marts are; it holds no user and no password."""
    target = marts_target(Settings())
    target.prepare()
    file.write_text(json.dumps(data_source_file(target.address), indent=2) + "\n", encoding="utf-8")
    console.print(f"{file} is written. How to go on: bi/powerbi/README.md.", highlight=False)


def data_source_file(address: str) -> dict[str, object]:
    """A `.pbids` for `host:port/database`; without a mode Power BI asks for Import or DirectQuery."""
    server, _, database = address.rpartition("/")
    details = {"protocol": "postgresql", "address": {"server": server, "database": database}}
    return {"version": "0.1", "connections": [{"details": details, "options": {}}]}
