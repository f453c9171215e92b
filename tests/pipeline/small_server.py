"""An embedded PostgreSQL server for a test module, and the few steps that its tests share."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from warehouse.postgres import EmbeddedPostgres
from warehouse.publish import PublishInfo, TableSpec, publish

AS_OF = datetime(2026, 6, 15, 9, tzinfo=UTC)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Started as root the server runs as another user, whom pytest's own folders (mode 0700) keep out."""
    with tempfile.TemporaryDirectory(prefix="marts-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def running_server(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "crm.postgres", timezone="Europe/Moscow")
    server.start()
    with psycopg.connect(admin_url(server), autocommit=True) as con:
        # what a crash of the machine would leave is not tested here, and the disk of a test machine may be slow
        con.execute("alter system set fsync = off")
        con.execute("select pg_reload_conf()")
    try:
        yield server
    finally:
        server.stop()


def fill(warehouse: Path, script: str) -> None:
    with duckdb.connect(warehouse) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(script)


def run(warehouse: Path, server: Any, tables: Sequence[TableSpec], run_id: str = "r1", **options: Any) -> Any:
    return publish(warehouse, server, tables, PublishInfo(run_id, AS_OF, "north.bitrix24.ru"), **options)


def read(server: EmbeddedPostgres, query: str, role: str = "bi_reader") -> list[tuple[Any, ...]]:
    with psycopg.connect(server.url(role)) as con:
        return con.execute(query).fetchall()


def execute(server: EmbeddedPostgres, query: str, role: str) -> None:
    with psycopg.connect(server.url(role), autocommit=True) as con:
        con.execute(query)


def admin_url(server: EmbeddedPostgres) -> str:
    password = json.loads((server.folder / "credentials.json").read_text())["postgres"]
    return f"postgresql://postgres:{password}@{server.address.removesuffix('/marts')}/postgres"
