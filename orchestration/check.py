"""`b24 check`: what a portal lets us read, and what a first load would cost."""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from dlt_sources.bitrix24.client import BATCH_SIZE, OPERATING_BUDGET_S, PAGE_SIZE, PORTAL_RATE_PER_S
from dlt_sources.bitrix24.details import DETAILS, Detail
from dlt_sources.bitrix24.entities import ENTITIES, Entity, Family
from dlt_sources.bitrix24.preflight import PortalFacts
from orchestration.console import console

OPERATING_WINDOW_S = 600.0
LISTS: tuple[Entity | Detail, ...] = (*ENTITIES, *DETAILS)
NOT_ADMIN = (
    "The webhook's owner is not an administrator: rows that he may not see are missing without a word, and low rights "
    "look like low sales. Let an administrator create the webhook."
)
# scopes that let the same methods through, with fewer columns
SMALLER_SCOPES = {"user": ("user_basic", "user_brief")}


@dataclass(frozen=True)
class FirstLoad:
    """An estimate from the highest ids (deleted rows count too, so it errs upwards) and from one page's cost."""

    pages: int
    requests: int
    seconds_by_requests: float
    seconds_by_operating: float
    slowest_method: str

    @property
    def seconds(self) -> float:
        """How long the limit that binds makes it last."""
        return max(self.seconds_by_requests, self.seconds_by_operating)


def estimate(facts: PortalFacts, share: float) -> FirstLoad:
    """What reading every id up to the highest would take, product rows and histories of tasks included."""
    pages = {table: -(-rows // PAGE_SIZE) for table, rows in facts.max_ids.items()}
    # an owner's rows are one command, as a page is
    for detail in DETAILS:
        if detail.owners in facts.max_ids and not detail.window and detail.where == "true":
            pages[detail.table] = pages.get(detail.table, 0) + facts.max_ids[detail.owners]
    requests = -(-sum(pages.values()) // BATCH_SIZE)
    methods = {entity.table: entity.method for entity in LISTS}
    work: dict[str, float] = {}
    for table, count in pages.items():
        cost = facts.operating_s.get(table) or facts.operating_s.get("deals", 0.0)
        work[methods[table]] = work.get(methods[table], 0.0) + count * cost
    slowest = max(work, key=lambda method: work[method], default="")
    return FirstLoad(
        pages=sum(pages.values()),
        requests=requests,
        seconds_by_requests=requests / (PORTAL_RATE_PER_S * share),
        seconds_by_operating=max(0.0, work.get(slowest, 0.0) - OPERATING_BUDGET_S)
        / OPERATING_BUDGET_S
        * OPERATING_WINDOW_S,
        slowest_method=slowest,
    )


def print_check(facts: PortalFacts, host: str, share: float) -> bool:
    """Say in plain words what was found; returns whether everything can be read."""
    problems = _problems(facts)
    facts_table = Table(show_header=False, show_edge=False, box=None)
    for label, value in (
        ("Portal", host),
        (
            "Webhook of",
            (facts.user_name or "unknown")
            + {True: ", an administrator", False: ", not an administrator", None: ""}[facts.is_admin],
        ),
        (
            "Clock",
            f"{(facts.as_of + facts.utc_offset):%Y-%m-%d %H:%M:%S}, UTC{facts.utc_offset.total_seconds() / 3600:+g}",
        ),
        ("Base currency", facts.base_currency or "not told"),
        ("CRM mode", {True: "classic, with leads", False: "simple, without leads", None: "not told"}[facts.has_leads]),
        ("Scopes", "not told" if facts.scopes is None else ", ".join(sorted(facts.scopes)) or "none"),
    ):
        facts_table.add_row(label, escape(value))
    console.print(facts_table)
    rows = Table(show_edge=False, title="What can be read", title_justify="left")
    rows.add_column("raw table")
    rows.add_column("method")
    rows.add_column("rows, at most", justify="right")
    rows.add_column("")
    for entity in ENTITIES:
        if entity.family in {Family.DICTIONARY, Family.KEYED_DICTIONARY}:
            continue
        count = facts.max_ids.get(entity.table)
        rows.add_row(
            entity.table,
            entity.method,
            "-" if count is None else f"{count:,}",
            escape(facts.refused.get(entity.table, "")),
        )
    console.print(rows)
    load = estimate(facts, share)
    limit = (
        f"the operating time of {load.slowest_method}"
        if load.seconds_by_operating > load.seconds_by_requests
        else f"the request rate at our share of {share:g}"
    )
    console.print(
        f"First load: about {load.requests:,} requests for {load.pages:,} pages, {_duration(load.seconds)}; "
        f"{limit} binds."
    )
    for problem in problems:
        console.print(f"[yellow]![/] {escape(problem)}", highlight=False)
    return not problems


def _problems(facts: PortalFacts) -> list[str]:
    problems = []
    if facts.is_admin is None:
        problems.append(
            "The portal does not tell whether the webhook's owner is an administrator. If he is not, rows that he may "
            "not see are missing without a word."
        )
    elif not facts.is_admin:
        problems.append(NOT_ADMIN)
    missing: dict[str, list[str]] = {}
    for entity in LISTS:
        if facts.scopes is not None and not facts.scopes & {entity.scope, *SMALLER_SCOPES.get(entity.scope, ())}:
            missing.setdefault(entity.scope, []).append(entity.table)
    for scope, tables in missing.items():
        problems.append(f"Scope {scope} is not granted: {', '.join(dict.fromkeys(tables))} cannot be read.")
    for table, reason in facts.refused.items():
        problems.append(f"{table}: {reason}")
    return problems


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return (
        "under a minute"
        if minutes < 1
        else f"{minutes:,.0f} minutes"
        if minutes < 120
        else f"{minutes / 60:,.1f} hours"
    )
