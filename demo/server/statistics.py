"""What was asked of the portal, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Statistics:
    """Counters since the start or the last reset.

    `commands` counts every method that reached the portal, alone or inside a batch; `batch_commands` those inside.
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

    def to_json(self) -> dict[str, Any]:
        """Return the counters as JSON-able values."""
        counted = {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}
        seconds = {method: round(value, 4) for method, value in self.operating_seconds.items()}
        return {**counted, "operating_seconds": seconds}
