"""Puts this folder on the path, so that every tier can use its doubles, and shares the tests out to workers."""

import os

import pytest
from hypothesis import settings

# a worker has a size of no terminal, which consoles made at import would keep
for size in ("COLUMNS", "LINES"):
    os.environ.pop(size, None)

# how long an example takes is the machine's affair
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file is for one worker, and what looks at the run of two days for another; the longest go first."""

    def share(item: pytest.Item) -> str:
        return "two_days" if "two_days" in getattr(item, "fixturenames", ()) else item.path.stem

    for item in items:
        item.add_marker(pytest.mark.xdist_group(share(item)))
    items.sort(key=lambda item: (share(item) != "two_days", "pipeline" not in item.path.parts))
