"""One run at a time: an advisory lock beside the warehouse, held by the kernel for as long as its holder lives."""

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from warehouse.errors import WarehouseBusy, WarehouseError
from warehouse.settings import WarehousePaths

POLL_S = 0.1
# `holder()` takes a shared lock for an instant; a run that meets it must not give up
PROBE_GRACE_S = 0.3


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a warehouse; `since` is an ISO 8601 UTC instant."""

    pid: int
    command: str
    since: str


class WarehouseLock:
    """Hold `<stem>.lock` for a whole run, so that nobody else writes the warehouse.

    The lock ends with the process, however it dies; the file itself stays and means nothing.
    """

    def __init__(self, warehouse_path: Path, command: str, *, wait_seconds: float = 0.0) -> None:
        """Prepare the lock of a warehouse file.

        Args:
            warehouse_path: the DuckDB file; the lock lies beside it.
            command: what others are told about us, e.g. `b24 sync`.
            wait_seconds: how long to wait for another holder.
        """
        self.path = WarehousePaths.of(warehouse_path).lock
        self._warehouse = warehouse_path
        self._command = command
        self._wait_seconds = wait_seconds
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            WarehouseBusy: another run still holds it after `wait_seconds`; the message names that run.
            WarehouseError: the folder cannot be written.
        """
        descriptor = _open(self.path)
        deadline = time.monotonic() + max(self._wait_seconds, PROBE_GRACE_S)
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                holder = _read_holder(descriptor)
                os.close(descriptor)
                raise WarehouseBusy(_busy_message(self._warehouse, holder))
            time.sleep(POLL_S)
        self._descriptor = descriptor
        _write(descriptor, LockHolder(os.getpid(), self._command, datetime.now(UTC).isoformat(timespec="seconds")))

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "WarehouseLock":
        self.acquire()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


def holder(warehouse_path: Path) -> LockHolder | None:
    """Who holds the warehouse now; None if nobody does."""
    path = WarehousePaths.of(warehouse_path).lock
    if not path.exists():
        return None
    descriptor = _open(path)
    try:
        return None if _try_lock(descriptor, fcntl.LOCK_SH) else _read_holder(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # Python opens it close-on-exec: children do not inherit it
    except OSError as error:
        raise WarehouseError(
            f"The lock {path} cannot be opened ({error.strerror}). "
            "Make its folder writable for this user, or set WAREHOUSE_PATH to another place."
        ) from error


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, us: LockHolder) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock still holds, it only does not say whose it is
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(us)).encode(), 0)


def _read_holder(descriptor: int) -> LockHolder:
    """The holder's own words; between locking and writing, or after a crash of the disk, there are none."""
    try:
        return LockHolder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return LockHolder(0, "another run", "a moment ago")


def _busy_message(warehouse_path: Path, other: LockHolder) -> str:
    process = f", process {other.pid}" if other.pid else ""
    return (
        f"The warehouse {warehouse_path} is in use by `{other.command}`{process}, since {other.since}. "
        "Wait until it ends, or stop that process; then run this command again."
    )
