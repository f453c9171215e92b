"""The asset graph: one piece from the portal to PostgreSQL."""

import os
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from pydantic import ByteSize, TypeAdapter

from dlt_sources.bitrix24.schema import TABLES
from dlt_sources.files.schema import FILES
from orchestration.dbt import LEAST_MEMORY, advised, dbt_environment, reason
from orchestration.definitions import defs
from warehouse.settings import Settings

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


def test_a_model_that_ran_out_of_memory_tells_what_to_set() -> None:
    """A portal of three million deals is no reason to read about DuckDB's tuning."""
    with duckdb.connect(config={"memory_limit": "1MB", "temp_directory": ""}) as con, pytest.raises(duckdb.Error) as no:
        con.execute("select count(distinct hash(range)) from range(10000000)")
    told = advised(f"Runtime Error in model client_abc\n  {no.value}\n")
    assert told.endswith("Set WAREHOUSE_MEMORY to more, or give the machine more.")
    assert "solutions" not in told
    assert advised("Binder Error: no column x\n") == "Binder Error: no column x"


def test_a_build_may_use_what_is_set_or_half_of_the_machine() -> None:
    given = dbt_environment(Settings(_env_file=None, warehouse_memory="8GB"))
    assert given["WAREHOUSE_MEMORY"] == "8000000000B"
    with duckdb.connect(config={"memory_limit": dbt_environment(Settings(_env_file=None))["WAREHOUSE_MEMORY"]}) as con:
        ((limit,),) = con.execute("select current_setting('memory_limit')").fetchall()
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert LEAST_MEMORY * 0.97 <= TypeAdapter(ByteSize).validate_python(limit) <= max(LEAST_MEMORY, machine * 0.52)


def test_the_schedule_waits_to_be_turned_on() -> None:
    """Cloning a repository must not start to read a portal."""
    schedule = defs.resolve_schedule_def("bitrix24_hourly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "0 * * * *"
