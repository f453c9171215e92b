"""A random stream of its own for one part of the world, so that a new part changes nothing in the others."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

from demo.world.clock import DAY_S

T = TypeVar("T")


class Dice:
    """Chance for one part of the world; the seed and the part's name decide everything."""

    def __init__(self, seed: int, part: str) -> None:
        """Start the stream of a part."""
        self.rng = random.Random(f"{seed}:{part}")

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return self.rng.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items, all equally likely."""
        return items[int(self.rng.random() * len(items))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """Return one of the items by weight."""
        return self.rng.choices(items, weights)[0]

    def number(self, low: int, high: int) -> int:
        """Return a whole number between two bounds, both included."""
        return self.rng.randint(low, high)

    def days(self, median: float, sigma: float = 0.8) -> int:
        """Return a waiting time in seconds, log-normal around a median in days."""
        return int(median * DAY_S * math.exp(self.rng.gauss(0.0, sigma)))
