"""The whole way, from a portal over HTTP to PostgreSQL, against answers worked out apart from the SQL."""

from typing import Any

import pytest
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.rehearsal import Sync, TwoDays

MOST_REQUESTS_OF_A_DAY = 0.1
WORK_TIME = "timeman.record.list"
ALERTS = "funnel_alerts"  # keeps what it once told
FULL_MONTHS = "client_retention"  # a day that alters no past month leaves it as it was
QUALITY = "data_quality"  # most of its checks are about the load itself
MARTS = [mart for mart in PRIMARY_KEYS if mart not in {ALERTS, QUALITY}]


@pytest.mark.parametrize("mart", MARTS)
def test_a_first_load_gives_the_right_marts(two_days: TwoDays, mart: str) -> None:
    """Every cell of every mart, or the pipeline lost a row or misread a rule."""
    assert two_days.first.answers[mart]
    differences = compare(mart, PRIMARY_KEYS[mart], two_days.first.answers[mart], two_days.first.marts[mart])
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("mart", MARTS)
def test_a_day_later_they_are_right_again(two_days: TwoDays, mart: str) -> None:
    """An incremental run that misses a change, or counts one twice, ends elsewhere than a first load would."""
    assert two_days.second.answers[mart] != two_days.first.answers[mart] or mart == FULL_MONTHS
    differences = compare(mart, PRIMARY_KEYS[mart], two_days.second.answers[mart], two_days.second.marts[mart])
    assert not differences, "\n".join(differences)


def test_alerts_of_each_day_are_told_once_and_stay(two_days: TwoDays) -> None:
    """An alarm that a later run takes back, or gives again, is believed by nobody."""
    told: list[dict[str, Any]] = []
    for sync in (two_days.first, two_days.second):
        assert sync.answers[ALERTS]
        told += sync.answers[ALERTS]
        differences = compare(ALERTS, PRIMARY_KEYS[ALERTS], told, sync.marts[ALERTS])
        assert not differences, "\n".join(differences)


def quality_differences(sync: Sync) -> list[str]:
    """How the checks differ that the calculator knows."""
    known = {(row["check_name"], row["subject"]) for row in sync.answers[QUALITY]}
    found = [row for row in sync.marts[QUALITY] if (row["check_name"], row["subject"]) in known]
    return compare(QUALITY, PRIMARY_KEYS[QUALITY], sync.answers[QUALITY], found)


def test_the_quality_of_data_is_told_as_it_is(two_days: TwoDays) -> None:
    """A tile of trust that counts otherwise than the portal and the files is worse than none."""
    for sync in (two_days.first, two_days.second):
        assert not (differences := quality_differences(sync)), "\n".join(differences)


def test_a_day_costs_a_tenth_of_the_first_load(two_days: TwoDays) -> None:
    """Requests as the portal counted them; it shares them with people and other applications.

    Apart from what costs the same on each day: REST 3.0 takes a request per employee for work time, and the search for
    deletions reads all ids, which the summary tells on a line of its own.
    """
    first, second = (
        sync.stats["requests"]
        - sync.stats["commands"][WORK_TIME]
        - sum(check["requests"] for check in sync.summary["checks"])
        for sync in (two_days.first, two_days.second)
    )
    assert second <= first * MOST_REQUESTS_OF_A_DAY
    assert two_days.second.stats["commands"][WORK_TIME] <= len(two_days.rehearsal.portal.truth()["users"])


def test_the_summary_agrees_with_the_portal(two_days: TwoDays) -> None:
    """A summary that counts otherwise than the portal cannot be used to talk to its administrator."""
    for sync in (two_days.first, two_days.second):
        assert sync.summary["requests"] == sync.stats["requests"]
        assert sync.summary["refusals"] == 0
        assert sync.summary["succeeded"]
