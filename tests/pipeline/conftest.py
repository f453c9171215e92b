"""The run that most pipeline tests look at."""

from collections.abc import Iterator

import pytest
from pipeline.rehearsal import TwoDays, rehearsal, synced


@pytest.fixture(scope="session")
def two_days() -> Iterator[TwoDays]:
    """A first load and the sync a day later; made once."""
    with rehearsal(seed=11, deals=1200) as rehearsed:
        first = synced(rehearsed)
        rehearsed.portal.advance(1)
        yield TwoDays(rehearsed, first, synced(rehearsed))
