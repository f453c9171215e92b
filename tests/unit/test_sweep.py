"""What a webhook may see, and ids in ranges: the parts of the proof that need no portal."""

import hashlib

import numpy as np
import pytest

from dlt_sources.bitrix24.preflight import Rights
from dlt_sources.bitrix24.sweep import BUCKET_IDS, Bucket, Check, _buckets, _is_number, _segments

BOSS = Rights("1", True, ("crm", "task"))


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        (BOSS, BOSS, ""),
        (BOSS, Rights("2", True, ("crm", "task")), ""),  # another administrator sees as much
        (BOSS, Rights("1", True, ("crm", "task", "user")), ""),
        (BOSS, Rights("1", False, ("crm", "task")), "the webhook's owner is no administrator any more"),
        (BOSS, Rights("1", None, ("crm", "task")), "the webhook's owner is no administrator any more"),
        (BOSS, Rights("1", True, ("task",)), "the webhook lost the scope crm"),
        (BOSS, Rights("1", True, ()), "the webhook lost the scope crm, task"),
        (BOSS, Rights("1", True, None), ""),  # not told: the first refusal will tell
        (Rights("1", True, None), BOSS, ""),
        (Rights("3", False, ()), Rights("3", False, ()), ""),
        (Rights("3", False, ()), Rights("1", True, ()), ""),
        (Rights("3", False, ()), Rights("4", False, ()), "the webhook belongs to somebody else"),
    ],
)
def test_rights_that_are_less(before: Rights, now: Rights, lost: str) -> None:
    """Rows that nobody may see any more look like deleted ones."""
    assert now.less_than(before).startswith(lost)
    assert bool(now.less_than(before)) == bool(lost)


@pytest.mark.parametrize("rights", [BOSS, Rights("", None, None), Rights("7", False, ())])
def test_rights_survive_the_ledger(rights: Rights) -> None:
    """They are kept as text between runs."""
    assert Rights.from_json(rights.to_json()) == rights


def test_buckets_name_the_ranges_of_both_sides() -> None:
    """A range that one side lacks is a difference as well."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    ends = np.array([1, BUCKET_IDS - 1, BUCKET_IDS, 5 * BUCKET_IDS])
    assert _buckets(ends, ends[:2]) == [
        Bucket(0, BUCKET_IDS, 2, md5("1,99999"), 2, md5("1,99999")),
        Bucket(BUCKET_IDS, 2 * BUCKET_IDS, 1, md5("100000"), 0, md5("")),
        Bucket(5 * BUCKET_IDS, 6 * BUCKET_IDS, 1, md5("500000"), 0, md5("")),
    ]
    assert _buckets(ends[:0], ends[:0]) == []


def test_rows_are_asked_for_by_pages() -> None:
    """A thousand rows that vanished together are not asked for one by one."""
    assert _segments([7]) == [(6, 7)]
    assert _segments([60, 7, 8, 9, 56]) == [(6, 56), (59, 60)]
    assert len(_segments(range(1, 1001))) == 20


def test_an_id_is_written_in_one_way_only() -> None:
    """`007` would be row 7 to a number, and another row to a join."""
    assert _is_number(("7",))
    assert not any(map(_is_number, [("07",), ("x7",), ("-7",), ("",), ("7", "8"), ("٧",)]))


def test_a_note_is_no_proof() -> None:
    """Nothing was compared, or nothing was done about it."""
    assert Check("deals", None).is_equal  # type: ignore[arg-type]
    assert not Check("deals", None, note="refused").is_equal  # type: ignore[arg-type]
