"""The warehouse's lock: one holder, named to the others, and none once it is dead."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from warehouse.errors import WarehouseBusy, WarehouseError
from warehouse.lock import WarehouseLock, holder

HOLD = """
import sys, time
from pathlib import Path
from warehouse.lock import WarehouseLock
with WarehouseLock(Path(sys.argv[1]), "b24 sync"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_holding(warehouse: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "new" / "crm.duckdb"


def test_a_second_run_is_told_who_holds_the_warehouse(warehouse: Path) -> None:
    """Two writers would corrupt each other's run; "locked" alone does not tell whom to wait for."""
    with another_process_holding(warehouse) as other:
        with pytest.raises(WarehouseBusy) as caught, WarehouseLock(warehouse, "b24 publish"):
            pass
        assert f"in use by `b24 sync`, process {other.pid}, since 20" in str(caught.value)
        held_by = holder(warehouse)
        assert held_by is not None
        assert (held_by.pid, held_by.command) == (other.pid, "b24 sync")


def test_a_killed_holder_leaves_no_lock(warehouse: Path) -> None:
    """A lock file that outlives its process would stop every later schedule."""
    with another_process_holding(warehouse) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert holder(warehouse) is None
        with WarehouseLock(warehouse, "b24 sync"):
            held_by = holder(warehouse)
            assert held_by is not None
            assert held_by.pid == os.getpid()


def test_waiting_ends_when_the_holder_ends(warehouse: Path) -> None:
    """A scheduled run may wait for a short `b24 publish` instead of failing."""
    with another_process_holding(warehouse) as other:
        assert other.stdin is not None
        other.stdin.close()
        with WarehouseLock(warehouse, "b24 sync", wait_seconds=20):
            assert other.wait(5) == 0


def test_waiting_is_bounded(warehouse: Path) -> None:
    """`wait_seconds` is a promise."""
    with another_process_holding(warehouse):
        began = time.monotonic()
        with pytest.raises(WarehouseBusy):
            WarehouseLock(warehouse, "b24 sync", wait_seconds=0.6).acquire()
        assert 0.6 <= time.monotonic() - began < 5


def test_a_child_of_the_holder_does_not_keep_the_lock(warehouse: Path) -> None:
    """dbt runs as a child and may outlive a killed run."""
    lock = WarehouseLock(warehouse, "b24 sync")
    lock.acquire()
    with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
        lock.release()
        assert holder(warehouse) is None
        child.kill()


def test_the_lock_can_be_taken_again(warehouse: Path) -> None:
    """Release is complete and harmless twice."""
    lock = WarehouseLock(warehouse, "b24 sync")
    for _ in range(2):
        with lock:
            assert holder(warehouse) is not None
        lock.release()
        assert holder(warehouse) is None


def test_nobody_holds_a_warehouse_that_never_was(warehouse: Path) -> None:
    """Asking must not create anything."""
    assert holder(warehouse) is None
    assert not warehouse.parent.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match=r"file/crm\.lock cannot be opened .* WAREHOUSE_PATH"):
        WarehouseLock(tmp_path / "file" / "crm.duckdb", "b24 sync").acquire()
