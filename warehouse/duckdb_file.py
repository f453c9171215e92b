"""Opening the DuckDB file for a moment, with its failures in plain words."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.errors import WarehouseBusy, WarehouseError

# a run that was just killed may leave a child (dbt) that still writes for a few seconds
OPEN_WAIT_S = 60.0
POLL_S = 0.2


@contextmanager
def open_warehouse(
    path: Path, *, read_only: bool = False, wait_seconds: float = OPEN_WAIT_S
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse, in UTC, and close it again at once afterwards: a holder keeps every other process out.

    Args:
        path: the DuckDB file; created with its folder unless `read_only`.
        read_only: refuse writes, and do not create the file.
        wait_seconds: how long to wait for another process that holds the file.
    Raises:
        WarehouseBusy: another process still holds the file.
        WarehouseError: the file cannot be opened, is not a DuckDB file, or its disk is full.
    """
    if not read_only:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(
                f"The folder {path.parent} cannot be created ({error.strerror}). "
                "Set WAREHOUSE_PATH to a place this user may write."
            ) from error
    connection = _connect(path, read_only, time.monotonic() + wait_seconds)
    try:
        connection.execute("set TimeZone = 'UTC'")
        yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException) as error:
        raise explain(path, error) from error
    finally:
        connection.close()


def _connect(path: Path, read_only: bool, deadline: float) -> duckdb.DuckDBPyConnection:
    while True:
        is_new = not path.exists()
        try:
            return duckdb.connect(path, read_only=read_only)
        except duckdb.IOException as error:
            if is_new and "No space left" in str(error):
                path.unlink(missing_ok=True)  # half a header, which no later run could open
            if "lock" not in str(error) or time.monotonic() >= deadline:
                raise explain(path, error) from error
        except duckdb.Error as error:
            raise explain(path, error) from error
        time.sleep(POLL_S)


def explain(path: Path, error: duckdb.Error) -> WarehouseError:
    """Say in plain words why DuckDB could not use the file, and what to do."""
    text = str(error)
    if "Could not set lock" in text or "Conflicting lock" in text:
        pid = re.search(r"PID (\d+)", text)
        owner = f"process {pid[1]}" if pid else "another process"
        return WarehouseBusy(
            f"The warehouse file {path} is open in {owner}. "
            "Wait until it ends, or close it; then run this command again."
        )
    for signs, advice in _ADVICE:
        if any(sign in text for sign in signs):
            return WarehouseError(f"The warehouse file {path} {advice}")
    return WarehouseError(f"The warehouse file {path} cannot be used: {text.splitlines()[0]}")


_ADVICE = (
    (
        ("No space left", "Disk quota exceeded", "File too large", "max_temp_directory_size"),
        "cannot grow: its disk is full. Nothing committed is lost; free some space and run this command again.",
    ),
    (
        ("Permission denied", "Read-only file system"),
        "cannot be read and written by this user. Change its owner, or set WAREHOUSE_PATH to another place.",
    ),
    (
        ("not a valid DuckDB database file", "Is a directory"),
        "is not a DuckDB file. Set WAREHOUSE_PATH to another place; a new warehouse is created there.",
    ),
    (
        ("Corrupt database", "checksum", "Could not read enough bytes"),
        "is damaged. Restore a copy of it, or move it away and run `b24 sync`: everything is then read again.",
    ),
    (
        ("version number", "newer version"),
        "was written by another version of DuckDB. Open it with that version, or start a new warehouse elsewhere.",
    ),
    (
        ("does not exist", "No such file"),
        "does not exist yet. Run `b24 sync` first, or correct WAREHOUSE_PATH.",
    ),
    (
        ("different configuration",),
        "is already open in this process with other settings; close that connection first.",
    ),
)
