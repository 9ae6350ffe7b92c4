"""Quantiles of many numbers in bounded memory."""

from __future__ import annotations

import random

import numpy as np

SIZE = 8192


class Reservoir:
    """Exact up to `SIZE` values, then of an even random choice among all (algorithm R of Vitter, "Random sampling with
    a reservoir", ACM TOMS 1985). The same values give the same choice. The extremes are always exact.
    """

    def __init__(self) -> None:
        self.count = 0
        self.least: int | None = None
        self.most: int | None = None
        self._kept: list[int] = []
        self._random = random.Random(0)

    def push(self, value: int) -> None:
        self.count += 1
        self.least = value if self.least is None else min(self.least, value)
        self.most = value if self.most is None else max(self.most, value)
        if len(self._kept) < SIZE:
            self._kept.append(value)
            return
        place = self._random.randrange(self.count)
        if place < SIZE:
            self._kept[place] = value

    def quantile(self, q: float) -> float | None:
        """The value below which the share `q` lies; None while there is none."""
        return float(np.quantile(np.array(self._kept, dtype=np.int64), q)) if self._kept else None

    def deviations(self) -> Reservoir:
        """How far each kept value lies from the median."""
        out = Reservoir()
        middle = self.quantile(0.5)
        for value in self._kept:
            out.push(round(abs(value - (middle or 0.0))))
        return out
