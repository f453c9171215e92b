"""Smart invoices and items of smart processes, with their stays in stages (2.5)."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from .facts import NO_MANAGER, UNKNOWN_CLIENT, Facts, closed_at_of
from .stages import StageOrder, Stay, stays_by_owner
from .values import (
    Rates,
    Row,
    amount_of,
    calendar_date,
    converted,
    currency_code,
    reference,
    rows_of,
    text,
    whole,
)

SMART_INVOICE = 31
NO_STAGE = ""

_ITEM_STAGES = re.compile(r"(SMART_INVOICE|DYNAMIC_\d+)_STAGE_\d+")
_OUTCOMES = {"S": "done", "F": "failed"}


@dataclass
class Item:
    """A smart invoice, or an item of a smart process."""

    entity_type_id: int
    id: int
    pipeline_key: int
    stage_id: str
    outcome: str  # done, failed or open
    manager_key: int
    amount_rc: Decimal | None
    created_at: datetime
    closed_at: datetime | None
    close_date: date | None
    stays: list[Stay]
    row: Row
    deal_id: int | None = None
    client_key: str = UNKNOWN_CLIENT

    @property
    def is_open(self) -> bool:
        """Neither done nor failed."""
        return self.outcome == "open"

    def is_overdue(self, day: date) -> bool:
        """Whether its close date has passed on a day."""
        return self.close_date is not None and self.close_date < day


def read_invoices(truth: Mapping[str, Any], facts: Facts, rates: Rates) -> list[Item]:
    """All smart invoices."""
    history = rows_of(truth, "smart_invoice_stage_history")
    return _items(SMART_INVOICE, rows_of(truth, "smart_invoices"), history, _semantics(truth), facts, rates)


def read_process_items(truth: Mapping[str, Any], facts: Facts, rates: Rates) -> list[Item]:
    """All items of all smart processes."""
    semantics = _semantics(truth)
    rows, history = (_by_type(truth, table) for table in ("process_items", "process_stage_history"))
    return [item for kind in rows for item in _items(kind, rows[kind], history[kind], semantics, facts, rates)]


def _by_type(truth: Mapping[str, Any], table: str) -> dict[int, list[Row]]:
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in rows_of(truth, table):
        rows[whole(row["entity_type_id"])].append(row)
    return rows


def _semantics(truth: Mapping[str, Any]) -> dict[str, str]:
    """Semantics of today's stages; the ids tell type and pipeline as well."""
    return {
        str(row["status_id"]): text(row.get("semantics")) or "P"
        for row in rows_of(truth, "statuses")
        if _ITEM_STAGES.fullmatch(text(row.get("entity_id")) or "")
    }


def _items(
    kind: int,
    rows: Sequence[Row],
    history: Sequence[Row],
    semantics: Mapping[str, str],
    facts: Facts,
    rates: Rates,
) -> list[Item]:
    clock = facts.clock
    stays_of = stays_by_owner(history, StageOrder(()), clock)
    items = []
    for row in rows:
        if not facts.counts(reference(row.get("assigned_by_id")), None, whole(row.get("category_id"))):
            continue
        number, stage_id = int(row["id"]), text(row.get("stage_id")) or NO_STAGE
        stays = stays_of.get(number, [])
        known = stays[-1].semantics if stays and stays[-1].stage_id == stage_id else "P"
        outcome = _OUTCOMES.get(semantics.get(stage_id, known), "open")
        created_at = clock.instant(row["created_time"])
        assert created_at
        closed_at = None if outcome == "open" else closed_at_of({**row, "stage_id": stage_id}, stays, clock)
        rate = rates.on(currency_code(row.get("currency_id")), clock.day(closed_at) if closed_at else clock.today)
        items.append(
            Item(
                entity_type_id=kind,
                id=number,
                pipeline_key=whole(row.get("category_id")),
                stage_id=stage_id,
                outcome=outcome,
                manager_key=reference(row.get("assigned_by_id")) or NO_MANAGER,
                amount_rc=converted(rate, amount_of(row.get("opportunity"))),
                created_at=created_at,
                closed_at=closed_at,
                close_date=calendar_date(row.get("closedate")),
                stays=stays,
                row=row,
                deal_id=reference(row.get("parent_id2")),
                client_key=facts.client(reference(row.get("company_id")), reference(row.get("contact_id"))),
            )
        )
    return items
