"""Mart `funnel_alerts` (3.28), as far as one day gives cause for it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import sqrt
from typing import Any

from .values import Clock, exact, first_of_month, ratio, rounded, text, whole

MartRow = dict[str, Any]
Stage = tuple[int, str]

RECENT_DAYS, BASE_DAYS = 14, 84
ALERT_DROP, ALERT_Z, CRITICAL_DROP = -0.15, -3.0, -0.40
LEAST_EXITS = 20
MONTHS_WITHOUT_SALES = 2
ALL_PIPELINES, NO_STAGE = -1, ""


@dataclass
class Exits:
    """Exits of a stage in a window that its conversion counts, and those of them that went on."""

    count: int = 0
    forward: int = 0

    @property
    def share(self) -> Fraction | None:
        """The conversion, unrounded."""
        return Fraction(self.forward, self.count) if self.count else None


def read_thresholds(rows: Iterable[Mapping[str, str]]) -> dict[Stage, Decimal]:
    """The least conversion of each stage."""
    given = ((row, exact(row.get("min_conversion"))) for row in rows)
    return {(whole(row["pipeline_key"]), text(row["stage_id"]) or NO_STAGE): least for row, least in given if least}


def funnel_alerts(
    flow: Iterable[MartRow], roi: Iterable[MartRow], thresholds: Mapping[Stage, Decimal], clock: Clock
) -> list[MartRow]:
    """Alerts of the last full day.

    Args:
        flow: rows of `funnel_stage_flow`.
        roi: rows of `channel_roi`.
        thresholds: the least conversion of each stage.
        clock: what is called now.
    """
    check_day = clock.today - timedelta(days=1)
    since = check_day - timedelta(days=RECENT_DAYS - 1)
    recent: dict[Stage, Exits] = defaultdict(Exits)
    base: dict[Stage, Exits] = defaultdict(Exits)
    for row in flow:
        window = recent if since <= row["date_day"] <= check_day else base
        if since - timedelta(days=BASE_DAYS) <= row["date_day"] <= check_day:
            exits = window[row["pipeline_key"], row["stage_id"]]
            exits.count += row["exits"] - row["exits_moved"] - row["exits_other"]
            exits.forward += row["exits_forward"]
    alerts = []
    for stage, exits in recent.items():
        compared = _compared(exits, base[stage])
        alerts += [_alert(check_day, stage, *fired, compared) for fired in _fired(compared, thresholds.get(stage))]
    return alerts + list(_channels_without_sales(roi, check_day))


def _compared(recent: Exits, base: Exits) -> MartRow:
    c1, c0 = recent.share, base.share
    drop = None if c1 is None or c0 is None else c1 - c0
    z = None
    if drop is not None:
        pooled = Fraction(recent.forward + base.forward, recent.count + base.count)
        variance = pooled * (1 - pooled) * (Fraction(1, recent.count) + Fraction(1, base.count))
        z = float(drop) / sqrt(variance) if variance else None
    return {
        "n1": recent.count,
        "n0": base.count,
        "c1": ratio(recent.forward, recent.count),
        "c0": ratio(base.forward, base.count),
        "relative_change": ratio(drop, c0),
        "z_score": z,
    }


def _fired(compared: MartRow, threshold: Decimal | None) -> Iterator[tuple[str, Decimal | None]]:
    """Types of alerts with the threshold that each has."""
    if compared["n1"] < LEAST_EXITS:
        return
    if threshold is not None and Decimal(str(compared["c1"])) < threshold:
        yield "below_threshold", threshold
    change, z = compared["relative_change"], compared["z_score"]
    if compared["n0"] >= LEAST_EXITS and change is not None and z is not None and change <= ALERT_DROP and z <= ALERT_Z:
        yield "drop_vs_base", None


def _alert(check_day: date, stage: Stage, kind: str, threshold: Decimal | None, compared: MartRow) -> MartRow:
    change, z = compared["relative_change"], compared["z_score"]
    return {
        "date_day": check_day,
        "pipeline_key": stage[0],
        "stage_id": stage[1],
        "alert_type": kind,
        **compared,
        "z_score": None if z is None else float(rounded(Fraction(z), 4)),
        "threshold": None if threshold is None else float(threshold),
        "severity": "critical" if change is not None and change <= CRITICAL_DROP else "warning",
    }


def _channels_without_sales(roi: Iterable[MartRow], check_day: date) -> Iterator[MartRow]:
    """One alert if any channel costs money and sells nothing for months."""
    months = [
        row["zero_conversion_months"]
        for row in roi
        if (row["attribution_model"], row["date_basis"], row["period_month"])
        == ("last_touch", "event", first_of_month(check_day))
    ]
    if any(number >= MONTHS_WITHOUT_SALES for number in months):
        numbers = dict.fromkeys(("n1", "n0", "c1", "c0", "relative_change", "z_score"))
        yield _alert(check_day, (ALL_PIPELINES, NO_STAGE), "channel_no_sales", None, numbers)
