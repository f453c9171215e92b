"""The two limits of a portal: a leaky bucket of requests, and each method's budget of working seconds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from demo.server.clock import Monotonic

_BUCKETS = 10  # the window moves in tenths: ten one-minute buckets by default


@dataclass
class LeakyBucket:
    """Lets `burst` requests in at once and `rate` per second after that."""

    rate: float
    burst: float
    monotonic: Monotonic
    _level: float = 0.0
    _measured_at: float = 0.0

    def admit(self) -> bool:
        """Count a request; False means that it does not fit and is refused."""
        now = self.monotonic()
        self._level = max(0.0, self._level - (now - self._measured_at) * self.rate)
        self._measured_at = now
        if self._level + 1 > self.burst:
            return False
        self._level += 1
        return True

    def empty(self) -> None:
        """Forget what was let in."""
        self._level = 0.0


@dataclass
class OperatingBudget:
    """Working seconds of every method over a moving window, summed in ten buckets.

    A method is refused once the sum has reached the budget: the call that crosses the line still completes.
    """

    budget_s: float
    window_s: float
    monotonic: Monotonic
    _spent: defaultdict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))

    def used(self, method: str) -> float:
        """Return the seconds that `method` worked within the window."""
        buckets = self._spent[method]
        oldest = self._bucket() - _BUCKETS
        for bucket in [bucket for bucket in buckets if bucket <= oldest]:
            del buckets[bucket]
        return sum(buckets.values())

    def is_spent(self, method: str) -> bool:
        """Tell whether the next call of `method` is refused."""
        return self.used(method) >= self.budget_s

    def add(self, method: str, seconds: float) -> None:
        """Account the work of a call."""
        buckets = self._spent[method]
        bucket = self._bucket()
        buckets[bucket] = buckets.get(bucket, 0.0) + seconds

    def reset_in(self, method: str) -> float:
        """Return the seconds until the method's oldest bucket leaves the window (a whole window if it has none)."""
        buckets = self._spent[method]
        if not buckets:
            return self.window_s
        leaves_at = (min(buckets) + _BUCKETS) * self.window_s / _BUCKETS
        return max(0.0, leaves_at - self.monotonic())

    def empty(self) -> None:
        """Forget all work."""
        self._spent.clear()

    def _bucket(self) -> int:
        return int(self.monotonic() // (self.window_s / _BUCKETS))
