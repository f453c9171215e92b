"""`b24 check`: what a portal lets us read, and what a first load would cost."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
class Cost:
    """An estimate from the highest ids (deleted rows count too, so it errs upwards) and from one page's cost."""

    commands: int
    requests: int
    seconds_by_requests: float
    seconds_by_operating: float
    slowest_method: str

    @property
    def seconds(self) -> float:
        """How long the limit that binds makes it last."""
        return max(self.seconds_by_requests, self.seconds_by_operating)


def as_if(facts: PortalFacts, deals: int) -> PortalFacts:
    """Return the facts of a portal with so many deals and all else in proportion."""
    scale = deals / max(1, facts.max_ids.get("deals", 0))
    return replace(facts, max_ids={name: round(rows * scale) for name, rows in facts.max_ids.items()})


def cost_of_lists(facts: PortalFacts, share: float, webhooks: int) -> Cost:
    """What reading every id of every list up to the highest would take."""
    pages = Counter({name: -(-rows // PAGE_SIZE) for name, rows in facts.max_ids.items()})
    methods = {entity.name: entity.method for entity in ENTITIES}
    return _cost({name: methods[name] for name in pages}, pages, facts, share, webhooks)


def cost_of_details(facts: PortalFacts, share: float, webhooks: int) -> Cost:
    """What product rows and histories of tasks would take: one command per owner."""
    details = {
        f"{detail.table} of {detail.owners}": detail
        for detail in DETAILS
        if detail.owners in facts.max_ids and not detail.window and detail.where == "true"
    }
    commands = Counter({name: facts.max_ids[detail.owners] for name, detail in details.items()})
    return _cost({name: detail.method for name, detail in details.items()}, commands, facts, share, webhooks)


def _cost(methods: Mapping[str, str], commands: Counter[str], facts: PortalFacts, share: float, webhooks: int) -> Cost:
    cost_s: defaultdict[str, float] = defaultdict(lambda: facts.operating_s.get("deals", 0.0))
    for entity in ENTITIES:
        if seconds := facts.operating_s.get(entity.name):
            # of answers side by side, one is told the work of all
            cost_s[entity.method] = max(seconds, cost_s.get(entity.method, 0.0))
    work: defaultdict[str, float] = defaultdict(float)
    for name, count in commands.items():
        work[methods[name]] += count * cost_s[methods[name]]
    requests = -(-commands.total() // BATCH_SIZE)
    slowest = max(work, key=lambda method: work[method], default="")
    return Cost(
        commands=commands.total(),
        requests=requests,
        seconds_by_requests=requests / (PORTAL_RATE_PER_S * share),
        # each webhook has a budget of its own; the first one's is there at once
        seconds_by_operating=max(0.0, work[slowest] / webhooks / OPERATING_BUDGET_S - 1) * OPERATING_WINDOW_S,
        slowest_method=slowest,
    )


def print_check(facts: PortalFacts, host: str, share: float, webhooks: int) -> bool:
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
    print_cost(facts, share, webhooks)
    for problem in problems:
        console.print(f"[yellow]![/] {escape(problem)}", highlight=False)
    return not problems


def print_cost(facts: PortalFacts, share: float, webhooks: int) -> None:
    """Say how long a first load would take, and what follows it."""
    for what, cost in (
        ("First load", cost_of_lists(facts, share, webhooks)),
        ("Then, over several runs, product rows and histories of tasks", cost_of_details(facts, share, webhooks)),
    ):
        limit = (
            f"the operating time of {cost.slowest_method}"
            if cost.seconds_by_operating > cost.seconds_by_requests
            else f"the request rate at our share of {share:g}"
        )
        console.print(
            f"{what}: about {cost.requests:,} requests with {cost.commands:,} commands, {_duration(cost.seconds)}; "
            f"{limit} binds.",
            soft_wrap=True,
        )


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
