"""A month of a portal's life, for several seeds: after each sync every cell of every mart is the right one."""

from typing import Any

import pytest
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.rehearsal import Rehearsal, rehearsal, synced
from pipeline.test_marts import ALERTS, MARTS, quality_differences

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

SEEDS = (5, 17, 91)
DEALS = 400

# days that pass, what happens at their end, and how the sync is called
Step = tuple[int, dict[str, bool], tuple[str, ...]]
MONTH: tuple[Step, ...] = (
    (0, {}, ()),
    (1, {}, ("--no-sweep",)),
    (6, {"deletions": True, "merges": True, "restores": True}, ()),
    (23, {"deletions": True, "merges": True, "restores": True}, ("--sweep",)),
)


def lived(rehearsed: Rehearsal) -> list[str]:
    """Let the month pass; tell each difference with the day it was seen on."""
    differences: list[str] = []
    told: list[dict[str, Any]] = []
    today = 0
    for days, events, arguments in MONTH:
        if days:
            rehearsed.portal.advance(days, **events)
            today += days
        sync = synced(rehearsed, *arguments)
        told += sync.answers[ALERTS]
        for mart, answers in ({mart: sync.answers[mart] for mart in MARTS} | {ALERTS: told}).items():
            found = compare(mart, PRIMARY_KEYS[mart], answers, sync.marts[mart])
            differences += [f"day {today}: {difference}" for difference in found]
        differences += [f"day {today}: {difference}" for difference in quality_differences(sync)]
    return differences


@pytest.mark.parametrize("seed", SEEDS)
def test_marts_stay_right_for_a_month(seed: int) -> None:
    """Late, deleted, merged, restored and reopened records pass by; a cell that an update missed stays wrong."""
    with rehearsal(seed=seed, deals=DEALS) as rehearsed:
        differences = lived(rehearsed)
    assert not differences, "\n".join(differences)
