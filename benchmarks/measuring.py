"""One measurement: a portal of its own, a reader in a process of its own, and what the portal's log says of it."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from demo.server.running import PortalProcess

PEERS_PYTHON = Path(".venv-bench/bin/python")
POLL_S = 0.5
REQUESTS_PER_S = 2.0
BURST = 50


@dataclass(frozen=True)
class Result:
    """What came of a measurement: the reader's words, and the portal's log."""

    found: Mapping[str, Any]
    log: Mapping[str, Any]
    budget_share: float | None = None  # of the operating time granted in the full windows of the reading

    @property
    def rows(self) -> int:
        """Rows that the reader has."""
        return int(self.found["rows"])

    @property
    def seconds(self) -> float:
        """From the portal's first request to its last answer."""
        return float((self.log["last_answer_s"] or 0.0) - (self.log["first_request_s"] or 0.0))

    @property
    def requests(self) -> int:
        """All that reached the portal."""
        return int(self.log["requests"])

    @property
    def refused(self) -> int:
        """Requests that did not fit into the bucket."""
        return int(self.log["refusals"].get("503", 0))

    @property
    def out_of_time(self) -> int:
        """Commands refused because the method had used up its operating time."""
        return int(self.log["refusals"].get("429", 0))

    @property
    def operating_s(self) -> float:
        """Work of all commands."""
        return float(sum(self.log["operating_seconds"].values()))

    @property
    def law_s(self) -> float:
        """The shortest time in which the requests that passed fit through a full bucket."""
        return max(0.0, (self.requests - self.refused - BURST) / REQUESTS_PER_S)


def run(
    command: Sequence[str], job: Mapping[str, Any], portal: Mapping[str, Any], progress: Progress, title: str
) -> Result:
    """Start a portal, let a reader loose on it, and wait for both.

    Args:
        command: the reader, as arguments.
        job: what it is told, but for the webhooks.
        portal: options of the portal.
    Raises:
        RuntimeError: the reader ended without a word.
    """
    total = portal.get("generated_deals")
    task = progress.add_task(title, total=total if isinstance(total, int) else None)
    # the folder is ours, so that it goes even when the reader is killed
    with PortalProcess.start(**portal) as running, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        budget = _Budget(float(job.get("operating_budget_s", 0)), float(job.get("operating_window_s", 0)))
        reader = subprocess.Popen(  # noqa: S603 - our own modules, arguments as a list
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(folder)
        )
        try:
            found = _wait(reader, {**job, "urls": running.webhook_urls}, running, budget, progress, task)
        finally:
            if reader.poll() is None:
                reader.kill()
                reader.wait()
        log = running.stats()
    progress.update(task, total=1, completed=1)
    return Result(found, log, budget.share())


def _wait(
    reader: "subprocess.Popen[bytes]",
    job: Mapping[str, Any],
    portal: PortalProcess,
    budget: "_Budget",
    progress: Progress,
    task: Any,
) -> dict[str, Any]:
    words: bytes | None = json.dumps(job).encode()
    while True:
        try:
            said, complaint = reader.communicate(words, timeout=POLL_S)
            break
        except subprocess.TimeoutExpired:
            words = None
            log = portal.stats()
            budget.note(log)
            progress.update(task, completed=log["rows"].get("crm.deal.list", 0))
    if reader.returncode or not said:
        raise RuntimeError(f"the reader failed: {complaint.decode().strip()[-2000:]}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def _environment(folder: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path.cwd()), "TMPDIR": folder, "no_proxy": "127.0.0.1"}


class _Budget:
    """How much of a method's operating time was used by the end of each window of the limit.

    Readers start where a tenth of the window begins by the machine's monotonic clock, which is the portal's too.
    """

    def __init__(self, budget_s: float, window_s: float) -> None:
        self._budget_s, self._window_s = budget_s, window_s
        self._started: float | None = None
        self._used: list[float] = []  # by the end of each window

    def note(self, log: Mapping[str, Any]) -> None:
        if not self._window_s or not log["requests"]:
            return
        now, tenth = time.monotonic(), self._window_s / 10
        if self._started is None:
            self._started = now - now % tenth
        window = int((now - self._started) / self._window_s)
        self._used += [0.0] * (window + 1 - len(self._used))
        self._used[window] = sum(log["operating_seconds"].values())

    def share(self) -> float | None:
        """Of what was granted in the windows that passed while there still was something to read."""
        full = len(self._used) - 1
        return self._used[full - 1] / (full * self._budget_s) if full > 0 else None


def ours(job: str) -> list[str]:
    """Return the command of one of our readers."""
    return [sys.executable, "-m", "benchmarks.readers", job]


def peer(client: str) -> list[str]:
    """Return the command of another client."""
    return [str(PEERS_PYTHON.absolute()), "-m", "benchmarks.peers", client]


def version(package: str) -> str:
    """Version of a package among the other clients."""
    folders = [str(path) for path in PEERS_PYTHON.parent.parent.glob("lib/python*/site-packages")]
    return next((one.version for one in importlib.metadata.distributions(name=package, path=folders)), "")
