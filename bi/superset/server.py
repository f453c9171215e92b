"""Superset as a server on 127.0.0.1 that survives its command; everything of it lies beside the warehouse."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg

from warehouse.errors import WarehouseError
from warehouse.postgres import LOOPBACK, PORTS, READER, EmbeddedPostgres, is_free
from warehouse.secret_file import write_private

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-superset"
REQUIREMENTS = Path(__file__).with_name("requirements.lock")
DATABASE = "superset"  # of the embedded PostgreSQL, for what Superset itself remembers
ADMIN = "admin"
USUAL_PORT = 8088  # Superset's own; below Linux's ephemeral range, as PORTS are
WORKERS = 2  # one Python process keeps one core busy at most, and a chart from the cache costs 30 ms of it
THREADS = 2  # of each: more share its one core and make all wait; at most 12 of the server's 50 connections are theirs
START_S = 180
STOP_S = 15
LOG_LINES = 12
TO_PUBLISH = "Run `b24 sync` for your portal, or `make demo` for a stand-in portal."

Tell = Callable[[str], None]


class SupersetError(WarehouseError):
    """Superset cannot be started or filled; the message says why and what to do."""


class Superset:
    """One Superset of one warehouse.

    The folder holds `credentials.json` (mode 0600: the admin's password, the key of the sessions, the URL of the
    metadata database), `port`, `pid`, `currency`, `server.log`, `cache/` and a `.gitignore` that hides them all.
    """

    def __init__(self, folder: Path, postgres: EmbeddedPostgres) -> None:
        """Describe the server; nothing is touched before `start`.

        Args:
            folder: of this server alone.
            postgres: holds the marts, and Superset's metadata in a database of its own.
        """
        self.folder = folder.absolute()
        self.postgres = postgres
        self.log = self.folder / "server.log"
        self._pid_file = self.folder / "pid"
        self._credentials_file = self.folder / "credentials.json"

    @property
    def address(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{LOOPBACK}:{self._port()}"

    @property
    def password(self) -> str:
        """The admin's password, as this program set it."""
        return self._credentials()["admin"]

    def start(self, tell: Tell) -> None:
        """Bring the server up, making its database at the first time; quick and harmless when it is up already.

        Args:
            tell: is told what is being done, since the first start takes a minute or two.

        Raises:
            SupersetError: it cannot run; the message says why and what to do.
            PostgresError: the embedded PostgreSQL cannot run.
        """
        if not (ENVIRONMENT / "bin" / "gunicorn").exists():
            raise SupersetError(f"Superset is not installed ({ENVIRONMENT} is missing). Run `make superset`.")
        self.check_published()
        with self._exclusively():
            if self.is_running():
                self._wait(None)
                return
            metadata_url = self.postgres.app_database(DATABASE)
            self._write_credentials(metadata_url=metadata_url)
            if not is_free(self._port()):
                raise SupersetError(
                    f"Port {self._port()}, kept for this warehouse's Superset, is taken by another program. Stop that "
                    f"program; or remove {self.folder / 'port'} and start again: a new port is chosen."
                )
            if self.log.exists():
                self.log.replace(self.log.with_suffix(".log.1"))
            self.log.touch(mode=0o600)
            if not self._is_prepared(metadata_url):
                tell("Superset's own database is made; this takes about a minute, once")
                self._prepare()
            tell("Superset starts")
            self._wait(self._launch())

    def stop(self) -> bool:
        """Stop the server. Returns False if it was not running."""
        pid = self._server_pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._server_pid() is not None:
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.1)
        self._pid_file.unlink(missing_ok=True)
        return True

    def is_running(self) -> bool:
        """Whether the server process of this folder is alive."""
        return self._server_pid() is not None

    def set_password(self, password: str) -> None:
        """Give the admin another password; the server may be up or down, but must have been started once."""
        if not self._credentials_file.exists():
            raise SupersetError("There is no Superset yet. Run `make superset` first.")
        self._write_credentials(admin=password, metadata_url=self.postgres.app_database(DATABASE))
        self._prepare()

    def check_published(self) -> None:
        """Without marts there is nothing to show.

        Raises:
            SupersetError: nothing is published yet.
        """
        if not (self.postgres.folder / "credentials.json").exists():
            raise SupersetError(f"There are no marts yet ({self.postgres.folder} is missing). {TO_PUBLISH}")
        self.postgres.start()
        with psycopg.connect(self.postgres.url(READER), connect_timeout=5) as con:
            row = con.execute("select to_regclass('marts.publish_info')").fetchone()
        if row is None or row[0] is None:
            raise SupersetError(f"Nothing is published to {self.postgres.address} yet. {TO_PUBLISH}")

    # files

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Two starts at once would choose two ports; the second waits for the first."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n")
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise SupersetError(
                f"The folder of Superset {self.folder} cannot be used by this user ({error.strerror}). "
                "Run this command as the folder's owner, or set WAREHOUSE_PATH to another place."
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _credentials(self) -> dict[str, str]:
        if not self._credentials_file.exists():
            return {"admin": secrets.token_urlsafe(12), "secret_key": secrets.token_urlsafe(42)}
        try:
            return {str(name): str(value) for name, value in json.loads(self._credentials_file.read_text()).items()}
        except (OSError, ValueError) as error:
            raise SupersetError(
                f"{self._credentials_file} cannot be read. Put it back from a backup; or stop Superset, remove "
                f"{self.folder} and start again: the admin gets a new password."
            ) from error

    def _write_credentials(self, **values: str) -> None:
        known = self._credentials()
        if known != known | values or not self._credentials_file.exists():
            write_private(self._credentials_file, json.dumps(known | values, indent=2))

    def _port(self) -> int:
        path = self.folder / "port"
        if path.exists():
            try:
                return int(path.read_text())
            except ValueError as error:
                raise SupersetError(f"{path} is damaged: it must hold one port number.") from error
        others = secrets.SystemRandom().sample(PORTS, len(PORTS))
        port = next(port for port in (USUAL_PORT, *others) if is_free(port))
        write_private(path, str(port))
        return port

    # the server

    def _is_prepared(self, metadata_url: str) -> bool:
        """Whether the metadata database is that of the installed version; a lost database is made again."""
        marker = self.folder / "prepared"
        if not marker.exists() or marker.read_text() != _version():
            return False
        with psycopg.connect(metadata_url, connect_timeout=5) as con:
            row = con.execute("select to_regclass('ab_user')").fetchone()
        return row is not None and row[0] is not None

    def _prepare(self) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603 - our own script
                [ENVIRONMENT / "bin" / "python", Path(__file__).with_name("prepare.py")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self._environment(), check=False,
            )  # fmt: skip
        if done.returncode:
            raise SupersetError(
                f"Superset's database could not be made. The end of {self.log}:\n{self._last_words()}\n"
                "If packages are missing, remove .venv-superset and run `make superset` again."
            )
        write_private(self.folder / "prepared", _version())

    def _launch(self) -> "subprocess.Popen[bytes]":
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own environment
                [
                    ENVIRONMENT / "bin" / "gunicorn", "--workers", str(WORKERS), "--worker-class", "gthread",
                    "--threads", str(THREADS), "--timeout", "120", "--graceful-timeout", "5", "--no-control-socket",
                    "--bind", f"{LOOPBACK}:{self._port()}", "--name", str(self.folder), "superset.app:create_app()",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self._environment(),
                start_new_session=True,
            )  # fmt: skip
        self._pid_file.write_text(str(process.pid))
        return process

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{ENVIRONMENT / 'bin'}:{os.defpath}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "FLASK_APP": "superset.app:create_app()",
            "SUPERSET_HOME": str(self.folder),
            "SUPERSET_CONFIG_PATH": str(Path(__file__).with_name("superset_config.py")),
        }

    def _wait(self, process: "subprocess.Popen[bytes] | None") -> None:
        """Until the server answers; of one that was up already there is no process to look at."""
        deadline = time.monotonic() + START_S
        while not self._answers():
            ended = process.poll() is not None if process else not self.is_running()
            if ended or time.monotonic() > deadline:
                what = "ended while it started" if ended else f"does not answer after {START_S} s"
                if not ended:
                    self.stop()
                raise SupersetError(f"Superset {what}. The end of {self.log}:\n{self._last_words()}")
            time.sleep(0.3)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").rstrip().splitlines()[-LOG_LINES:])

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/health", timeout=5, trust_env=False).text == "OK"
        except httpx.HTTPError:
            return False

    def _server_pid(self) -> int | None:
        """The living server process of this folder, or None.

        After a reboot `pid` may name a process that is something else by now, so its command line is compared where
        the system shows it.
        """
        try:
            pid = int(self._pid_file.read_text())
            os.kill(pid, 0)
            if Path("/proc/self/cmdline").exists():
                shown = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
                return pid if str(self.folder) in shown else None
        except (OSError, ValueError):
            return None
        return pid


def _version() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
