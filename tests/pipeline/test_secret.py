"""The webhook's code is a password: wherever the product writes, it is not there."""

import base64
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pipeline.rehearsal import SECRET, Rehearsal, TwoDays

from orchestration.dbt import PROJECT_DIR

# what a person does who looks for a fault: everything that is logged, shown
AT_DEBUG_LEVEL = "import logging; logging.basicConfig(level=logging.DEBUG); from orchestration.cli import main; main()"
# an error of ours that nobody foresaw, with all that the client holds in its text
CRASH = (
    "import orchestration.assets as assets\n"
    "def load_portal(client, *rest, **options): raise RuntimeError(f'{client!r} {vars(client)} {client._webhook}')\n"
    "assets.load_portal = load_portal\n"
)


def disguises(secret: str) -> Iterator[bytes]:
    """The secret itself, percent-encoded, and in base64 at each of the three alignments."""
    text = secret.encode()
    yield text
    yield "".join(f"%{byte:02X}" for byte in text).encode()
    for shift in range(3):
        # the first and the last group depend on the neighbours
        yield base64.b64encode(b"\0" * shift + text)[4 : (len(text) + shift) // 3 * 4]


PATTERN = re.compile(b"|".join(re.escape(text) for text in disguises(SECRET)), re.IGNORECASE)


def holding(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and PATTERN.search(path.read_bytes())]


@pytest.mark.parametrize(
    "text",
    [
        f"https://portal/rest/1/{SECRET}/batch",
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        *(base64.b64encode(b"x" * shift + SECRET.encode() + b" tail").decode() for shift in range(3)),
    ],
)
def test_the_search_finds_what_it_should(tmp_path: Path, text: str) -> None:
    """A search that finds nothing anywhere proves nothing."""
    (tmp_path / "file").write_text(f"before {text} after")
    assert holding(tmp_path)


def python(rehearsed: Rehearsal, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, "sync"],
        env=rehearsed.environment,
        cwd=rehearsed.folder,
        capture_output=True,
        text=True,
        timeout=200,
    )


class Refusal(BaseHTTPRequestHandler):
    """What a host answers that has never heard of the webhook."""

    def do_POST(self) -> None:
        body = b'{"error": "NO_AUTH_FOUND", "error_description": "Wrong authorization data"}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def refusing_host() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


class ProcessList(threading.Thread):
    """Looks at every process's command line until stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue  # it has ended

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def test_the_secret_is_found_nowhere(two_days: TwoDays) -> None:
    """Not on the screen, not in a file, not in the process list; after success, refusal, redirect, outage and crash."""
    rehearsed, portal = two_days.rehearsal, two_days.rehearsal.portal
    processes = ProcessList()
    processes.start()
    said = [python(rehearsed, CRASH + AT_DEBUG_LEVEL)]
    with refusing_host() as host:
        for faults in ({"revoked": True}, {"redirect": host}):
            portal.faults(faults)
            said.append(python(rehearsed, AT_DEBUG_LEVEL))
    portal.faults({})
    rehearsed.b24("check")
    rehearsed.b24("status")
    processes.stop()

    assert [done.returncode for done in said] == [1, 1, 1]
    assert any(b"b24" in line for line in processes.seen)
    screens = [*rehearsed.screens, *(done.stdout + done.stderr for done in said)]
    assert not [screen for screen in screens if PATTERN.search(screen.encode())]
    assert not [line for line in processes.seen if PATTERN.search(line)]
    assert not holding(rehearsed.folder)
    assert not holding(PROJECT_DIR / "target")
