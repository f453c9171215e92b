"""Marts compared cell by cell, with the tolerances of rule R5."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

RATIO_TOLERANCE = 0.0001
DURATION_TOLERANCE = 0.01
MOST_DIFFERENCES = 40

PRIMARY_KEYS: dict[str, tuple[str, ...]] = {
    "deal_stage_progress": ("deal_id", "stage_position"),
    "funnel_stage_conversion": (
        "funnel_type",
        "pipeline_key",
        "cohort_month",
        "manager_key",
        "channel_key",
        "stage_position",
    ),
    "funnel_stage_flow": ("pipeline_key", "stage_id", "date_day", "manager_key", "channel_key"),
    "channel_roi": ("attribution_model", "date_basis", "period_month", "channel_key", "utm_campaign"),
    "manager_performance": ("period_month", "manager_key"),
    "client_abc": ("as_of_month", "client_key"),
    "sales_dynamics": ("date_day", "pipeline_key", "manager_key", "channel_key", "is_repeat_sale"),
    "manager_channel_performance": ("period_month", "manager_key", "channel_key"),
    "lead_statistics": ("date_day", "channel_key", "utm_campaign", "manager_key"),
    "repeat_sales": ("period_month", "manager_key", "pipeline_key", "is_repeat_sale"),
    "period_comparison": ("period_type", "period_start", "pipeline_key", "metric"),
    "loss_analysis": (
        "period_month",
        "entity",
        "pipeline_key",
        "lost_from_stage",
        "stage_id",
        "loss_reason",
        "manager_key",
        "channel_key",
    ),
    "department_performance": ("period_month", "department_key", "rollup"),
    "deal_journey": ("deal_id",),
    "sales_plan_fact": ("period_month", "scope", "scope_key", "metric"),
    "client_rating": ("client_key",),
    "client_retention": ("period_month",),
    "client_cohort": ("cohort_month", "month_number"),
    "revenue_forecast": ("deal_id",),
    "product_performance": ("period_month", "product_key", "pipeline_key"),
    "unit_economics": ("period_month",),
    "call_analytics": ("date_day", "hour", "manager_key", "direction", "portal_number"),
    "task_efficiency": ("period_month", "manager_key", "project_key"),
    "invoice_summary": ("period_month", "pipeline_key", "manager_key"),
    "process_efficiency": ("entity_type_id", "pipeline_key", "period_month", "stage_id"),
    "time_allocation": ("date_day", "manager_key", "work_type"),
    "project_performance": ("project_key",),
    "service_quality": ("period_month", "source_type", "manager_key", "topic"),
    "data_quality": ("check_name", "subject"),
    "campaign_engagement": ("send_date", "channel", "campaign", "variant", "send_hour"),
    "funnel_alerts": ("date_day", "pipeline_key", "stage_id", "alert_type"),
}

_DURATION = re.compile(r"(.*_)?(hours|days|minutes)(_.*)?|.*_talk_seconds")

Row = Mapping[str, Any]


def compare(mart: str, key: Sequence[str], expected: Iterable[Row], actual: Iterable[Row]) -> list[str]:
    """Say how two sets of rows of one mart differ.

    Columns that only `actual` has (readable labels) are not looked at. Counts, money, texts, flags and times
    must be equal; ratios may differ by 0.0001, durations by 0.01.

    Returns:
        readable differences, none if equal, at most some dozens followed by the number of the rest.
    """
    wanted, found = list(expected), list(actual)
    differences = [f"{mart}: {count} rows have the key {_shown(key, at)}" for at, count in _repeated(key, found)]
    wanted_by_key = {_key_of(row, key): row for row in wanted}
    found_by_key = {_key_of(row, key): row for row in found}
    if wanted and found:
        absent = sorted(set(wanted[0]) - set(found[0]))
        differences += [f"{mart}: column {column} is missing" for column in absent]
    differences += [f"{mart}: no row {_shown(key, at)}" for at in wanted_by_key if at not in found_by_key]
    differences += [f"{mart}: unexpected row {_shown(key, at)}" for at in found_by_key if at not in wanted_by_key]
    for at, row in wanted_by_key.items():
        if other := found_by_key.get(at):
            differences += [
                f"{mart} {_shown(key, at)}: {column} is {other[column]!r}, not {value!r}"
                for column, value in row.items()
                if column in other and not _equal(column, value, other[column])
            ]
    return _shortened(mart, differences)


def _shortened(mart: str, differences: list[str]) -> list[str]:
    rest = len(differences) - MOST_DIFFERENCES
    return differences if rest <= 0 else [*differences[:MOST_DIFFERENCES], f"{mart}: and {rest} more differences"]


def _repeated(key: Sequence[str], rows: Iterable[Row]) -> list[tuple[tuple[Any, ...], int]]:
    counts = Counter(_key_of(row, key) for row in rows)
    return [(at, count) for at, count in counts.items() if count > 1]


def _key_of(row: Row, key: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[column] for column in key)


def _shown(key: Sequence[str], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{column}={value}" for column, value in zip(key, values, strict=True))


def _equal(column: str, wanted: Any, found: Any) -> bool:
    if wanted is None or found is None:
        return wanted is None and found is None
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, datetime):
        return isinstance(found, datetime) and wanted.astimezone(UTC) == found.astimezone(UTC)
    if not isinstance(wanted, (int, float, Decimal)):
        return bool(wanted == found)
    if not isinstance(found, (int, float, Decimal)):
        return False
    if _DURATION.fullmatch(column):
        return _near(wanted, found, DURATION_TOLERANCE)
    if isinstance(wanted, float):
        return _near(wanted, found, RATIO_TOLERANCE)
    return Decimal(str(wanted)) == Decimal(str(found))


def _near(wanted: Any, found: Any, tolerance: float) -> bool:
    # the tolerance itself is allowed, whatever its last binary digit
    return abs(Decimal(str(wanted)) - Decimal(str(found))) <= Decimal(str(tolerance))
