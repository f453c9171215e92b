"""The portal's clock, and the plain passing of time that limits are measured in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

Monotonic = Callable[[], float]

MAX_LEAD_S = 300.0


class PortalClock:
    """Starts at the moment up to which the data has been lived, and ticks; a frozen one stands still.

    It ticks with real time at first and slows down, so that it never leads the data by more than five minutes: days
    that pass later begin where the data ends, and their first changes must not lie far behind what a reader has already
    seen on the clock (the reader's overlap has to cover the difference).
    """

    def __init__(self, start: datetime, *, frozen: bool = False, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self._frozen = frozen
        self.zone: tzinfo | None = None  # other than that of the data
        self.set(start)

    def set(self, moment: datetime) -> None:
        """Move the hands to `moment`."""
        self._start = moment
        self._started_at = self._monotonic()

    def now(self) -> datetime:
        """Return the portal's present, with its offset."""
        moment = self._start
        if not self._frozen:
            passed = self._monotonic() - self._started_at
            moment += timedelta(seconds=MAX_LEAD_S * -math.expm1(-passed / MAX_LEAD_S))
        return moment.astimezone(self.zone) if self.zone else moment
