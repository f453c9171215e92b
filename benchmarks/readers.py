"""Our own extraction, each kind in a process of its own: a job as JSON on stdin, what came of it as a JSON line.

A job has the webhooks' `urls`, and what a function below takes from it; the portal's log is read by the caller.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import httpx

from demo.server.running import PortalControl
from dlt_sources.bitrix24 import DATASET, client, records, sweep
from dlt_sources.bitrix24.client import OPERATING_BUDGET_S, BitrixClient, Command
from dlt_sources.bitrix24.entities import ENTITIES
from dlt_sources.bitrix24.load import (
    PACKAGE_ROWS,
    EntityReport,
    Package,
    Position,
    load_portal,
    make_pipeline,
    nothing,
)
from dlt_sources.bitrix24.preflight import inspect
from dlt_sources.bitrix24.privacy import PersonalData
from dlt_sources.bitrix24.walks import KeysetWalk, OffsetWalk, Reader, Row, SingleCall, read_page
from dlt_sources.bitrix24.webhook import Webhook

Job = Mapping[str, Any]
Found = dict[str, Any]

DEALS = next(entity for entity in ENTITIES if entity.table == "deals")
FIELDS = next(entity for entity in ENTITIES if entity.name == "custom_fields/deal")
KEY = b"a key of the benchmark's own, 32."
HURRY = 100  # by how much the client's clock runs ahead where the portal has no limits
ROUNDS = 3


@dataclass
class Positions:
    """A ledger that lasts as long as the process."""

    kept: dict[str, Position] = field(default_factory=dict)

    def positions(self) -> Mapping[str, Position]:
        """Return the progress by list."""
        return self.kept

    def save(self, positions: Mapping[str, Position], reports: Sequence[EntityReport]) -> None:
        """Keep it."""
        self.kept |= positions


def connect(job: Job, transport: httpx.BaseTransport | None = None) -> BitrixClient:
    """Build the client, with all of the portal's limits for itself."""
    speed = HURRY if job.get("is_hurried") else 1
    return BitrixClient(
        [Webhook.parse(url) for url in job["urls"]],
        share=1.0,
        operating_budget_s=job.get("operating_budget_s", OPERATING_BUDGET_S),
        transport=transport,
        clock=lambda: time.monotonic() * speed,
        sleep=lambda seconds: time.sleep(seconds / speed),
    )


def read_deals(job: Job) -> Found:
    """Deals alone: the newest one tells where the list ends, then the walk of a first load; nothing is kept."""
    with connect(job) as portal:
        if tenth := job.get("start_on_s"):
            time.sleep(tenth - time.monotonic() % tenth)
        return {"rows": sum(map(len, _pages_of_deals(portal)))}


def _pages_of_deals(portal: BitrixClient) -> Any:
    newest = SingleCall(Command(DEALS.method, DEALS.newest()))
    for _ in Reader(portal).read([newest]):
        pass
    if newest.answer is None:
        raise RuntimeError("the portal did not tell its newest deal")
    walk = KeysetWalk(DEALS, max_id=max(read_page(newest.answer, DEALS).ids))
    for brought in Reader(portal).read([walk]):
        yield from (rows for _, rows in brought)


def load_first(job: Job) -> Found:
    """A complete first load into DuckDB."""
    with tempfile.TemporaryDirectory(prefix="warehouse-") as folder, connect(job) as portal:
        started = time.monotonic()
        warehouse = Warehouse(Path(folder), job["personal_data"])
        reports = warehouse.load(portal)
        return {
            "rows": sum(report.rows_read for report in reports),
            "whole_s": time.monotonic() - started,
            "file_mb": warehouse.path.stat().st_size / 1024**2,
            "deals": warehouse.count("deals"),
        }


class Warehouse:
    """A warehouse file and the progress of its loads."""

    def __init__(self, folder: Path, personal_data: PersonalData) -> None:
        self.path = folder / "warehouse.duckdb"
        self.positions = Positions()
        self.pipeline = make_pipeline(self.path, folder / "dlt")
        self._writer = records.ColumnWriter(personal_data, KEY)

    def load(self, portal: BitrixClient) -> list[EntityReport]:
        """Load as `b24 sync` does: its question about the portal, then all lists."""
        facts = inspect(portal)
        return load_portal(
            portal,
            self.pipeline,
            self.positions,
            as_of=facts.as_of,
            reporting_tz="Europe/Moscow",
            progress=nothing,
            writer=self._writer,
            max_ids=facts.max_ids,
        )

    def compare(self, portal: BitrixClient, as_of: datetime) -> int:
        """Compare all ids, as the nightly sweep does; returns how many differ."""
        lists = [entity for entity in sweep.lists_of(self.pipeline) if entity.deleted_by == "sweep"]
        last_ids = {name: position.last_id for name, position in self.positions.kept.items()}
        checks = sweep.compare(portal, self.pipeline, lists, as_of=as_of, last_ids=last_ids)
        return sum(len(check.missing) + len(check.extra) for check in checks)

    def count(self, table: str) -> int:
        """Rows of a raw table."""
        with duckdb.connect(str(self.path), read_only=True) as con:
            found = con.execute(f'select count(*) from "{DATASET}"."{table}"').fetchone()  # noqa: S608
        return int(found[0]) if found else 0


def load_again(job: Job) -> Found:
    """A first load, one of what has not changed, one after some days, and the comparison of all ids."""
    control = PortalControl(job["urls"])
    steps: dict[str, Found] = {}

    def measured(name: str, rows: Callable[[], int]) -> None:
        control.reset_stats()
        steps[name] = {"rows": rows(), "log": control.stats()}

    with tempfile.TemporaryDirectory(prefix="warehouse-") as folder, connect(job) as portal:
        warehouse = Warehouse(Path(folder), job["personal_data"])

        def load() -> int:
            return sum(report.rows_read for report in warehouse.load(portal))

        measured("first", load)
        measured("unchanged", load)
        control.advance(job["days"])
        measured("changed", load)
        differing = 0

        def compare() -> int:
            nonlocal differing
            differing = warehouse.compare(portal, datetime.now(UTC))
            return sum(control.stats()["rows"].values())

        measured("sweep", compare)
    control.close()
    return {"rows": 0, "steps": steps, "differing": differing}


def load_without_network(job: Job) -> Found:
    """Batches as the portal sent them into a table, ours beside DuckDB's `read_json`, in turn."""
    bodies: list[bytes] = []
    with connect(job, _Recording(bodies)) as portal:
        rows = sum(map(len, _pages_of_deals(portal)))
    del bodies[0]  # the question about the newest deal
    with connect(job) as portal:
        fields = [row for brought in Reader(portal).read([OffsetWalk(FIELDS)]) for _, rows in brought for row in rows]
    with tempfile.TemporaryDirectory(prefix="warehouse-") as name:
        folder = Path(name)
        lines = folder / "deals.ndjson"
        with lines.open("wb") as file:
            for page in map(_rows, bodies):
                file.writelines(bytes(row) + b"\n" for row in page)
        keys = list(dict.fromkeys(key for row in _rows(bodies[0]) for key in records.keys_of(row)))
        seconds: dict[str, list[float]] = {"keep": [], "hash": [], "read_json": []}
        for number in range(ROUNDS):
            for mode in ("keep", "hash"):
                seconds[mode].append(_load_bodies(bodies, fields, folder / f"{mode}{number}", mode))
                seconds["read_json"].append(_load_lines(lines, keys, folder / f"{mode}{number}.duckdb"))
    beside = {
        mode: median(floor / ours for floor, ours in zip(seconds["read_json"][place::2], seconds[mode], strict=True))
        for place, mode in enumerate(("keep", "hash"))
    }
    return {
        "rows": rows,
        "columns": len(keys),
        "megabytes": sum(map(len, bodies)) / 1024**2,
        "seconds": {name: median(taken) for name, taken in seconds.items()},
        "beside": beside,
    }


class _Recording(httpx.HTTPTransport):
    """Keeps the bodies of all answers."""

    def __init__(self, bodies: list[bytes]) -> None:
        super().__init__()
        self._bodies = bodies

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        self._bodies.append(answer.read())
        return answer


def _rows(body: bytes) -> list[Row]:
    """Take a batch's answer apart as the client and the walks do."""
    pages = client._by_key(client._parts_of(client._decode_batch(body)).result).values()
    return [row for page in pages for row in read_page(client.Envelope(page), DEALS).rows]


def _load_bodies(bodies: Sequence[bytes], fields: Sequence[Row], folder: Path, mode: Any) -> float:
    folder.mkdir()
    pipeline = make_pipeline(folder / "warehouse.duckdb", folder / "dlt")
    now = datetime.now(UTC)
    package = Package(pipeline, now, records.ColumnWriter(mode, KEY))
    package.add(FIELDS, fields, now.date())  # their types decide what becomes of personal data
    package.types_are_known = True
    package.commit()  # creates all raw tables, which a load of one does not pay for
    started = time.perf_counter()
    for body in bodies:
        package.add(DEALS, _rows(body), now.date())
        if package.size >= PACKAGE_ROWS:
            package.commit()
    package.commit()
    return time.perf_counter() - started


def _load_lines(lines: Path, keys: Sequence[str], path: Path) -> float:
    columns = ", ".join(f"'{key}': 'VARCHAR'" for key in keys)
    started = time.perf_counter()
    with duckdb.connect(str(path)) as con:
        con.execute(
            "create table deals as "  # noqa: S608
            f"select * from read_json('{lines}', format='newline_delimited', columns={{{columns}}})"
        )
    return time.perf_counter() - started


JOBS: dict[str, Callable[[Job], Found]] = {
    "deals": read_deals,
    "first_load": load_first,
    "incremental": load_again,
    "load": load_without_network,
}


def main() -> None:
    """Do the job, and tell how it went."""
    found = JOBS[sys.argv[1]](json.load(sys.stdin))
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
