"""`python -m demo.portal`: a stand-in Bitrix24 portal on 127.0.0.1."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from demo.server.core import Portal, PortalOptions
from demo.server.faults import COMMAND_FAULTS, MUTATIONS, RESPONSE_FAULTS, FaultPlan
from demo.server.running import HOST, PortalServer, base_url, bind, webhook_urls
from demo.world import PORTAL_TZ, World

_STDIN = 0
_DATA = "Data"
_CLOCK = "Clock"
_LIMITS = "Limits"
_FAULTS = "Faults"
_FILES = "Files"
_FAULT_HELP = (
    f"Probabilities per request: {', '.join(RESPONSE_FAULTS)}; changes of the data before a request: "
    f"{', '.join(MUTATIONS)}; per command of a batch: {', '.join(COMMAND_FAULTS)}; "
    "states: revoked=1, revoke_after=100, not_admin=1, rights_cut=0.2, plan=basic, zone=+05:00, redirect=URL, "
    "missing_scopes=task+telephony; slow_seconds=90; script=none+reset+none names what befalls the next requests "
    "one by one."
)
_EPILOG = (
    "While it runs, without any secret: GET /_demo/stats, /_demo/truth, /_demo/faults; POST /_demo/reset-stats, "
    '/_demo/advance {"days": 1, "deletions": false, "merges": false, "restores": false}, '
    '/_demo/faults {"html_502": 0.1} (replaces the plan), '
    '/_demo/mutate {"operation": "delete", "table": "deals", "row_id": 5}, '
    '/_demo/custom-fields {"operation": "retype", "entity": "CRM_DEAL", "field_name": "UF_CRM_1717100002", '
    '"user_type": "string"} (also add, rename, multiple, remove, add_option, remove_option). A bank stands beside it: '
    "CBR_URL=http://127.0.0.1:8024/cbr/ reads its rates."
)


class OwnerArray(StrEnum):
    """What an array of owners in a filter of product rows gets."""

    REFUSE = "refuse"
    IN = "in"
    FIRST = "first"


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("an ISO 8601 instant is needed, such as 2026-06-15T12:00:00+03:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=PORTAL_TZ)


def _plan(text: str) -> FaultPlan:
    try:
        return FaultPlan.from_text(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _end(*_: object) -> None:
    sys.exit(0)


def _end_with_stdin(server: PortalServer) -> None:
    def wait() -> None:
        # not sys.stdin: a thread that waits inside its buffer aborts the interpreter's shutdown
        while os.read(_STDIN, 1024):
            pass
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()


def serve(  # noqa: D103 - the help text is the docstring of the command below
    seed: Annotated[int, typer.Option(help="The same seed gives the same data and faults.", rich_help_panel=_DATA)] = 7,
    deals: Annotated[int, typer.Option(min=1, help="Deals over 24 months.", rich_help_panel=_DATA)] = 3000,
    generated_deals: Annotated[
        int,
        typer.Option(
            min=0, help="Deals are a table of so many rows made on the fly; all else as --deals.", rich_help_panel=_DATA
        ),
    ] = 0,
    id_gaps: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Share of the ids that no generated deal has.", rich_help_panel=_DATA),
    ] = 0.0,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8024,
    webhooks: Annotated[
        int, typer.Option(min=1, help="So many webhooks, each of another administrator with a budget of its own.")
    ] = 1,
    code: Annotated[
        str,
        typer.Option(envvar="DEMO_PORTAL_CODE", help="The webhook's secret; derived from the seed when not given."),
    ] = "",
    now: Annotated[
        datetime,
        typer.Option(parser=_instant, metavar="ISO8601", help="The portal's present.", rich_help_panel=_CLOCK),
    ] = "2026-06-15T12:00:00+03:00",  # type: ignore[assignment]  # typer parses the default too
    frozen: Annotated[
        bool, typer.Option("--frozen", help="The portal's clock stands still.", rich_help_panel=_CLOCK)
    ] = False,
    rate: Annotated[float, typer.Option(help="Requests per second, sustained.", rich_help_panel=_LIMITS)] = 2.0,
    burst: Annotated[float, typer.Option(help="Requests at once.", rich_help_panel=_LIMITS)] = 50.0,
    operating_budget: Annotated[
        float, typer.Option(help="Seconds of work per method within the window.", rich_help_panel=_LIMITS)
    ] = 480.0,
    operating_window: Annotated[float, typer.Option(help="Its length in seconds.", rich_help_panel=_LIMITS)] = 600.0,
    seconds_per_command: Annotated[
        float, typer.Option(help="Work accounted per command.", rich_help_panel=_LIMITS)
    ] = 0.02,
    seconds_per_row: Annotated[float, typer.Option(help="And per row of it.", rich_help_panel=_LIMITS)] = 0.0002,
    request_seconds: Annotated[
        float, typer.Option(help="A request with more work than this gets a 504.", rich_help_panel=_LIMITS)
    ] = 60.0,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Answers take the work's time.", rich_help_panel=_LIMITS)
    ] = False,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Neither 503 nor 429 is ever due.", rich_help_panel=_LIMITS)
    ] = False,
    faults: Annotated[
        FaultPlan,
        typer.Option(parser=_plan, metavar="NAME=VALUE,...", help=_FAULT_HELP, rich_help_panel=_FAULTS),
    ] = "",  # type: ignore[assignment]
    crm_mode: Annotated[
        int, typer.Option(min=1, max=2, help="1 classic; 2 simple, without leads.", rich_help_panel=_DATA)
    ] = 1,
    sections_at_top: Annotated[
        bool,
        typer.Option(
            "--sections-at-top", help="catalog.section.list answers without `result`.", rich_help_panel=_FAULTS
        ),
    ] = False,
    owner_array: Annotated[
        OwnerArray,
        typer.Option(help="What an array in =ownerId of product rows gets.", rich_help_panel=_FAULTS),
    ] = OwnerArray.REFUSE,
    dump_truth: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write truth.json there, again after each advance.", rich_help_panel=_FILES),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write ad_spend.csv and the other input files there.", rich_help_panel=_FILES),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write the webhook URLs there once listening.", rich_help_panel=_FILES),
    ] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End when the process that holds stdin ends.")
    ] = False,
    log: Annotated[bool, typer.Option("--log", help="A line on stderr for each request.")] = False,
) -> None:
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    if log:
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    options = PortalOptions(
        seed=seed,
        code=code,
        webhooks=webhooks,
        generated_deals=generated_deals,
        id_gaps=id_gaps,
        frozen=frozen,
        limits=not no_limits,
        rate=rate,
        burst=burst,
        operating_budget=operating_budget,
        operating_window=operating_window,
        seconds_per_command=seconds_per_command,
        seconds_per_row=seconds_per_row,
        request_seconds=request_seconds,
        real_time=real_time,
        crm_mode=crm_mode,
        sections_at_top=sections_at_top,
        owner_array=owner_array.value,
        faults=faults,
        truth_folder=dump_truth,
        inputs_folder=inputs,
    )
    try:
        listener = bind(port)
    except OSError as error:
        typer.echo(f"Port {port} of {HOST} cannot be used ({error.strerror}): try --port 0", err=True)
        raise typer.Exit(1) from error
    with listener:
        try:
            portal = Portal(World.generate(seed, deals, now), options)
        except ValueError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        gc.collect()
        gc.freeze()  # the data lives as long as the process: walking it again and again only costs pauses
        urls = "\n".join(webhook_urls(portal, base_url(listener)))

        def announce() -> None:
            word = "Webhook" if webhooks == 1 else "Webhooks"
            typer.echo(f"Stand-in portal with {generated_deals or deals} deals, seed {seed}. {word}:\n{urls}")
            if ready_file:
                _write_secret(ready_file, urls)

        server = PortalServer(portal, announce)
        if until_stdin_closes:
            _end_with_stdin(server)
        server.run([listener])


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole from the moment it appears."""
    draft = path.with_name(path.name + ".part")
    draft.touch(mode=0o600)
    draft.write_text(text + "\n")
    draft.replace(path)


serve.__doc__ = """A portal that speaks Bitrix24's REST: a believable company behind a webhook on 127.0.0.1.

It pages, filters, batches, limits and fails as the real one does. It prints its webhook URL; Ctrl+C ends it.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command(epilog=_EPILOG)(serve)

if __name__ == "__main__":
    app()
