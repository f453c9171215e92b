"""What was asked of the portal, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Statistics:
    """Counters since the start or the last reset.

    Attributes:
        requests: all, refused ones too.
        refusals: by the limits: "503" requests that did not fit into the bucket, "429" commands over the budget.
        commands: methods that reached the portal, alone or inside a batch; `batch_commands` those inside.
        rows: sent, by method.
        bytes_sent: of answers' bodies.
        first_request_s, last_answer_s: seconds after the portal's start, None before there is one.
        in_flight, in_flight_max: requests that wait for the end of their answer.
    """

    requests: int = 0
    batches: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    batch_commands: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    operating_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    refusals: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    first_request_s: float | None = None
    last_answer_s: float | None = None
    in_flight: int = 0
    in_flight_max: int = 0

    def begin(self, moment: float) -> None:
        """Note that a request came in."""
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        if self.first_request_s is None:
            self.first_request_s = moment

    def end(self, moment: float, sent: int) -> None:
        """Note that an answer of so many bytes is on its way, or that its connection broke."""
        self.in_flight -= 1
        self.last_answer_s = moment
        self.bytes_sent += sent

    def to_json(self) -> dict[str, Any]:
        """Return the counters as JSON-able values."""
        counted = {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}
        seconds = {method: round(value, 4) for method, value in self.operating_seconds.items()}
        return {**counted, "operating_seconds": seconds}
