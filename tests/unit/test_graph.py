"""The asset graph: one piece from the portal to PostgreSQL."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dlt_sources.bitrix24.schema import TABLES
from dlt_sources.files.schema import FILES
from orchestration.dbt import reason
from orchestration.definitions import defs

RAW = (
    {dg.AssetKey(["bitrix24", table]) for table in TABLES}
    | {dg.AssetKey(["files", table]) for table in FILES}
    | {dg.AssetKey(["cbr", "rates"])}
)
# declared ahead of the models that will read them; a table leaves this list with its first reader
NOT_USED_YET = {
    "quotes", "contact_companies", "catalogs", "openline_configs",
}  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> Any:
    return defs.resolve_asset_graph()


def published(graph: Any) -> set[dg.AssetKey]:
    return {key for key in graph.get_all_asset_keys() if key.path[0] == "postgres"}


def test_every_published_table_has_a_raw_ancestor(graph: Any) -> None:
    """A published table without one would be built before, or without, what it shows."""
    tables = published(graph)
    assert {dg.AssetKey(["postgres", name]) for name in ("channel_roi", "client_abc", "publish_info")} <= tables
    assert not {key for key in tables if not graph.get_ancestor_asset_keys(key) & RAW}


def test_every_raw_table_has_a_descendant(graph: Any) -> None:
    """A raw table that nothing reads costs the portal requests for nothing."""
    ancestors = set().union(*(graph.get_ancestor_asset_keys(key) for key in published(graph)))
    # by a model: that quotes say whose product rows are to be read shows them to nobody
    used = set().union(*(graph.get(key).parent_keys for key in ancestors - RAW))
    assert RAW - used == {dg.AssetKey(["bitrix24", table]) for table in NOT_USED_YET}


def test_every_data_test_is_an_asset_check(graph: Any) -> None:
    """A test that Dagster does not know is not seen failing."""
    assert len(graph.asset_check_keys) > 100


def test_a_failure_of_dbt_is_told_without_its_traceback() -> None:
    """Somebody opened the DuckDB file between two steps: hundreds of lines of Python hid which process it was."""
    text = (
        "The dbt CLI process with command `dbt build` failed with exit code `2`.\n\nErrors parsed from dbt logs:\n\n"
        'Encountered an error:\nIO Error: Could not set lock on file "/x.duckdb": Conflicting lock is held in '
        'python3.11 (PID 4711).\n\nTraceback (most recent call last):\n  File "x.py", line 1\nIO Error: ...'
    )
    assert reason(text, Path("/x.duckdb")).startswith("The warehouse file /x.duckdb is open in process 4711. Wait")
    told = reason("Encountered an error:\nCompilation Error\n  no run yet\n", Path("/x.duckdb"))
    assert told == "Compilation Error no run yet"


def test_the_schedule_waits_to_be_turned_on() -> None:
    """Cloning a repository must not start to read a portal."""
    schedule = defs.resolve_schedule_def("bitrix24_hourly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "0 * * * *"
