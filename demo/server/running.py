"""Start a portal beside the caller: in a thread (`running_portal`) or in a process (`PortalProcess`)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn

from demo.server.app import TrackedConnection, create_app
from demo.server.core import Portal, PortalOptions, World

HOST = "127.0.0.1"
_STOP_S = 5.0


def bind(port: int) -> socket.socket:
    """Bind a listening socket on loopback; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


def base_url(listener: socket.socket) -> str:
    """Return `http://127.0.0.1:<port>`."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


def webhook_urls(portal: Portal, base: str) -> list[str]:
    """Return the URLs that readers of the portal are given; they are secrets."""
    return [f"{base}/rest/{webhook.user_id}/{webhook.code}/" for webhook in portal.webhooks]


class PortalServer(uvicorn.Server):
    """Serves one portal; calls `on_ready` once it listens."""

    def __init__(self, portal: Portal, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(portal),
                http=TrackedConnection,
                loop="asyncio",
                ws="none",
                lifespan="off",
                proxy_headers=False,
                access_log=False,  # its lines would hold the webhook
                log_config=None,
                log_level="error",
                timeout_keep_alive=75,  # as nginx; of two sides that wait equally long one closes while the other asks
                timeout_graceful_shutdown=1,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        await super().startup(sockets)
        self._on_ready()


class PortalControl:
    """A running portal: where to read it (`webhook_url`, all in `webhook_urls`), and its control API."""

    def __init__(self, webhook_urls: Sequence[str]) -> None:
        self.webhook_urls = tuple(webhook_urls)
        self.webhook_url = self.webhook_urls[0]
        self.base_url = self.webhook_url.partition("/rest/")[0]
        # plain HTTP on loopback: loading certificates would take longer than most tests
        self._http = httpx.Client(base_url=f"{self.base_url}/_demo", timeout=600, trust_env=False, verify=False)  # noqa: S501

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url})"

    @property
    def cbr_url(self) -> str:
        """Where the bank's rates are read."""
        return f"{self.base_url}/cbr/"

    def stats(self) -> dict[str, Any]:
        """Return what was asked since the start or the last reset; keys as in `Statistics`."""
        return self._get("stats")

    def reset_stats(self) -> None:
        """Start counting from zero."""
        self._post("reset-stats", {})

    def truth(self) -> dict[str, Any]:
        """Return the whole data: `meta`, the rows of every table, `deleted` ids."""
        return self._get("truth")

    def advance(
        self,
        days: int = 1,
        *,
        deletions: bool = False,
        merges: bool = False,
        restores: bool = False,
        silent: bool = False,
    ) -> None:
        """Let days pass from the portal's present on; at the end rows go, merge or come back, as asked for."""
        events = {"deletions": deletions, "merges": merges, "restores": restores, "silent": silent}
        self._post("advance", {"days": days, **events})

    def faults(self, plan: dict[str, Any]) -> None:
        """Replace the plan of faults (names as in `FaultPlan`); an empty one ends all."""
        self._post("faults", plan)

    def mutate(self, operation: str, **choice: Any) -> dict[str, Any]:
        """Insert, update or delete one CRM row: `table`, `row_id`, `values` (all optional)."""
        return self._post("mutate", {"operation": operation, **choice})

    def custom_field(self, operation: str, entity: str, field_name: str, **details: Any) -> dict[str, Any]:
        """Change a custom field, e.g. `("retype", "CRM_DEAL", "UF_CRM_1", user_type="string")`; see `FieldDrift`."""
        body = {"operation": operation, "entity": entity, "field_name": field_name, **details}
        return self._post("custom-fields", body)

    def close(self) -> None:
        """Close the connection to the control API."""
        self._http.close()

    def _get(self, name: str) -> dict[str, Any]:
        return self._read(self._http.get(name))

    def _post(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._read(self._http.post(name, json=body))

    @staticmethod
    def _read(response: httpx.Response) -> dict[str, Any]:
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise ValueError(response.json()["error"])
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


@contextlib.contextmanager
def running_portal(world: World, options: PortalOptions | None = None, *, port: int = 0) -> Iterator[PortalControl]:
    """Serve a world from a thread of this process until the block ends.

    The world must not be touched directly meanwhile: change it through the control.
    """
    portal = Portal(world, options or PortalOptions())
    ready = threading.Event()
    with bind(port) as listener:
        server = PortalServer(portal, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="portal", daemon=True)
        thread.start()
        if not ready.wait(_STOP_S):
            raise RuntimeError("the portal did not start listening")
        control = PortalControl(webhook_urls(portal, base_url(listener)))
        try:
            yield control
        finally:
            control.close()
            server.should_exit = True
            thread.join(_STOP_S)


class PortalProcess(PortalControl):
    """A portal in a process of its own, `python -m demo.portal`."""

    def __init__(self, webhook_urls: Sequence[str], process: subprocess.Popen[bytes]) -> None:
        super().__init__(webhook_urls)
        self._process = process

    @classmethod
    def start(cls, *, timeout_s: float = 300.0, outlive: bool = False, **options: object) -> PortalProcess:
        """Start a portal and wait until it listens.

        Args:
            timeout_s: seconds to generate the data and start.
            outlive: keep the portal when this process ends; otherwise it ends too, even after SIGKILL.
            options: of the command, e.g. `seed=7, deals=3000, webhooks=2, generated_deals=200_000, id_gaps=0.1,
                frozen=True, dump_truth=Path(...)`; False and None leave an option out. `port` is free unless given.
        Raises:
            RuntimeError: the process ended or did not listen in time; the message holds its last words.
        """
        secret = options.pop("code", None)
        arguments = [part for name, value in {"port": 0, **options}.items() for part in _argument(name, value)]
        environment = os.environ | ({"DEMO_PORTAL_CODE": str(secret)} if secret else {})
        with tempfile.TemporaryDirectory() as folder:
            ready_file, words = Path(folder, "url"), Path(folder, "stderr")
            command = [sys.executable, "-m", "demo.portal", *arguments, "--ready-file", str(ready_file)]
            with words.open("wb") as stderr:
                process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
                    command if outlive else [*command, "--until-stdin-closes"],
                    stdin=subprocess.DEVNULL if outlive else subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env=environment,
                    start_new_session=outlive,
                )
            deadline = time.monotonic() + timeout_s
            while not ready_file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    process.communicate()
                    raise RuntimeError(f"the portal did not start: {words.read_text().strip()[-2000:]}")
                time.sleep(0.05)
            return cls(ready_file.read_text().split(), process)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def stop(self) -> int:
        """End the process and return its exit code."""
        self.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _argument(name: str, value: object) -> list[str]:
    option = "--" + name.replace("_", "-")
    if value is None or value is False:
        return []
    return [option] if value is True else [option, str(value)]
