"""What a run did, in numbers: filled by the steps, read by the summary, the demo and `--json`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dlt_sources.bitrix24.drift import Change
from dlt_sources.bitrix24.load import EntityReport
from dlt_sources.bitrix24.sweep import Check
from warehouse.publish import PublishedTable


class Reporter(Protocol):
    """Shows a run's progress while it goes on."""

    def rows(self, entity: str, rows: int, share: float | None) -> None:
        """`rows` read so far of one raw table; `share` of its ids, 0 to 1, None while unknown."""

    def step(self, phase: str, done: int, total: int | None) -> None:
        """`done` of `total` pieces of a phase."""


class Silent:
    """Shows nothing: scheduled runs keep their story in Dagster's log."""

    def rows(self, entity: str, rows: int, share: float | None) -> None:
        """Nothing to show."""

    def step(self, phase: str, done: int, total: int | None) -> None:
        """Nothing to show."""


@dataclass
class RunReport:
    """The numbers of one run. Seconds are wall clock; `operating_seconds` are the portal's own."""

    run_id: str = ""
    portal: str = ""
    as_of: datetime | None = None
    entities: list[EntityReport] = field(default_factory=list)
    requests: int = 0
    commands: int = 0
    refusals: int = 0
    retries: int = 0
    operating_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    owners_waiting: dict[str, int] = field(default_factory=dict)  # left to the next runs, by raw table
    checks: list[Check] = field(default_factory=list)  # ids compared with the portal's
    schema_changes: list[Change] = field(default_factory=list)  # what was done to custom fields in the portal
    warnings: list[str] = field(default_factory=list)
    input_rows: dict[str, int] = field(default_factory=dict)
    bank_rates: int = 0  # new ones of the Central Bank
    models_built: int = 0
    tests_passed: int = 0
    tests_warned: list[str] = field(default_factory=list)
    tests_failed: list[str] = field(default_factory=list)
    published: list[PublishedTable] = field(default_factory=list)
    built: bool = False  # the marts passed their tests; publishing may still fail
    succeeded: bool = False
    error: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a phase; a phase within a phase takes its time away from the outer one."""
        start, elsewhere = time.monotonic(), sum(self.seconds.values())
        try:
            yield
        finally:
            inner = sum(self.seconds.values()) - elsewhere
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start - inner

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)
