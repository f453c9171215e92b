"""Deletions after a sync, and `b24 verify`: which lists are compared with the portal, and what is done about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import dlt
from rich.markup import escape
from rich.table import Table

from dlt_sources.bitrix24.entities import Entity, Family
from dlt_sources.bitrix24.errors import BitrixError
from dlt_sources.bitrix24.load import Position, make_pipeline
from dlt_sources.bitrix24.preflight import PortalFacts
from dlt_sources.bitrix24.sweep import (
    Check,
    compare,
    fingerprints,
    follow_owners,
    heal,
    lists_of,
    mark_deleted,
    recount,
)
from orchestration.console import console

if TYPE_CHECKING:
    from orchestration.run import SyncRun

TRACKED = (Family.CHANGES, Family.JOURNAL)
NAMED = 10  # keys that are shown of a difference; --json has all


def sweep(run: "SyncRun", facts: PortalFacts, before: Mapping[str, Position], *, forced: bool | None) -> list[Check]:
    """After a sync: compare the ids of the lists that are due, mark what is gone, read what is missing.

    A portal that fails meanwhile costs no more than the comparison, which the next run makes up for.

    Args:
        before: progress before the run: a list is compared once an earlier run has read it to its end.
        forced: all lists or none, whatever is due; None leaves it to the settings.
    """
    done = run.ledger.checked_at()
    pipeline = _pipeline(run)
    run.ledger.keep_fingerprints(fingerprints(pipeline))
    if forbidden := run.ledger.lost_rights(facts.rights):
        run.report.warnings.append(
            f"Nothing will be marked as deleted: {forbidden}. If that is meant, run once with --accept-rights."
        )
    chosen = [
        entity
        for entity in lists_of(pipeline)
        if entity.deleted_by == "sweep"
        and before.get(entity.name, Position()).is_complete
        and (_is_due(run, entity, done.get(entity.name), facts.as_of) if forced is None else forced)
    ]
    if not chosen:
        return []
    try:
        return _check(run, facts, pipeline, chosen, is_healing=True)
    except BitrixError as error:
        run.report.warnings.append(f"Deletions were not looked for, and none was marked: {error}")
        return []


def verify(run: "SyncRun", facts: PortalFacts, *, healing: bool) -> list[Check]:
    """Compare every list with the portal; with `healing`, mend what differs."""
    positions = run.ledger.positions()
    pipeline = _pipeline(run)
    lists = lists_of(pipeline)
    chosen = [
        entity for entity in lists if entity.family not in TRACKED or positions.get(entity.name, Position()).is_complete
    ]
    checks = _check(run, facts, pipeline, chosen, is_healing=healing)
    if healing:
        run.ledger.keep_fingerprints(fingerprints(pipeline))
    return [*checks, *(_unread(entity, facts) for entity in lists if entity not in chosen)]


def _unread(entity: Entity, facts: PortalFacts) -> Check:
    """Tell of a list that no sync has read to its end."""
    refused = facts.refused.get(entity.table, "")
    note = refused or "not read to its end yet: run `b24 sync`"
    return Check(entity.name, facts.as_of, note=note, is_refused=bool(refused))


def _pipeline(run: "SyncRun") -> dlt.Pipeline:
    return make_pipeline(run.settings.warehouse_path, run.settings.paths.dlt)


def _is_due(run: "SyncRun", entity: Entity, last: datetime | None, now: datetime) -> bool:
    days = run.settings.sweep_days_of(entity.table)
    if not days or last is None:
        return bool(days)
    zone = run.settings.zone
    return (now.astimezone(zone).date() - last.astimezone(zone).date()).days >= days


def _check(
    run: "SyncRun", facts: PortalFacts, pipeline: dlt.Pipeline, lists: Sequence[Entity], *, is_healing: bool
) -> list[Check]:
    last_ids = {name: position.last_id for name, position in run.ledger.positions().items()}
    forbidden = run.ledger.lost_rights(facts.rights)
    checks = compare(
        run.client,
        pipeline,
        lists,
        as_of=facts.as_of,
        last_ids=last_ids,
        left_by_sync=run.ledger.fingerprints(),
        progress=lambda entity, rows, share: run.reporter.rows(f"ids: {entity}", rows, share),
    )
    if is_healing:
        mark_deleted(
            pipeline,
            checks,
            lists,
            as_of=facts.as_of,
            guard_share=run.settings.sweep_guard_share,
            forbidden=forbidden,
        )
        heal(
            run.client,
            pipeline,
            checks,
            lists,
            as_of=facts.as_of,
            today=facts.as_of.astimezone(run.settings.zone).date(),
            writer=run.writer,
            loading=partial(run.report.phase, "load"),
        )
        if not forbidden:
            follow_owners(pipeline, checks, lists, as_of=facts.as_of, last_ids=last_ids)
        recount(pipeline, checks, lists)
    run.ledger.save_checks(run.report.run_id, checks)
    return checks


def print_checks(checks: Sequence[Check]) -> None:
    """What was compared, and by name what differs."""
    table = Table(show_edge=False, title="Ids there and here", title_justify="left")
    counted = {
        "portal": [check.portal_ids for check in checks],
        "here": [check.warehouse_ids for check in checks],
        "missing": [len(check.missing) for check in checks],
        "extra": [len(check.extra) for check in checks],
    }
    done = {"marked": [check.marked for check in checks], "reread": [check.healed for check in checks]}
    counted |= {name: counts for name, counts in done.items() if any(counts)}
    table.add_column("list", no_wrap=True)
    for name in counted:
        table.add_column(name, justify="right")
    table.add_column("")
    for check, *counts in zip(checks, *counted.values(), strict=True):
        verdict = escape(check.note) if check.note else "equal" if check.is_equal else "[bold red]differs[/]"
        table.add_row(check.entity, *(f"{number:,}" for number in counts), verdict)
    console.print(table)
    for check in checks:
        for what, keys in (("missing here", check.missing), ("not in the portal", check.extra)):
            if keys:
                shown = ", ".join("/".join(key) for key in keys[:NAMED])
                more = f" and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
                console.print(f"{check.entity}: {what}: {escape(shown)}{more}", highlight=False)
    console.print(cost(checks), highlight=False)


def cost(checks: Sequence[Check]) -> str:
    """One line on what comparing cost."""
    requests, commands = sum(check.requests for check in checks), sum(check.commands for check in checks)
    seconds = sum(check.operating_seconds for check in checks)
    return f"Comparing ids took {requests:,} requests, {commands:,} pages, {seconds:,.1f} s of the portal's work."
