"""The asset graph: one piece from the portal to PostgreSQL."""

from typing import Any

import dagster as dg
import pytest

from dlt_sources.bitrix24.schema import TABLES
from dlt_sources.files.schema import FILES
from orchestration.definitions import defs

RAW = {dg.AssetKey(["bitrix24", table]) for table in TABLES} | {dg.AssetKey(["files", table]) for table in FILES}


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
    used = set().union(*(graph.get_ancestor_asset_keys(key) for key in published(graph)))
    assert not RAW - used


def test_every_data_test_is_an_asset_check(graph: Any) -> None:
    """A test that Dagster does not know is not seen failing."""
    assert len(graph.asset_check_keys) > 100


def test_the_schedule_waits_to_be_turned_on() -> None:
    """Cloning a repository must not start to read a portal."""
    schedule = defs.resolve_schedule_def("bitrix24_hourly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "0 * * * *"
