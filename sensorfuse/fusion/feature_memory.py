"""The last maps of each stream and where the body was then: a LiDAR sweep is read together with the one before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.warp import planar_motion, warp_map
from sensorfuse.geometry import Transform

NEAREST_BEFORE_NS, FARTHEST_BEFORE_NS = 30_000_000, 250_000_000
"""How long before a map another counts as the one before it."""


@dataclass(frozen=True)
class RememberedMap:
    """A map (C, X, Y) in the body's axes at `at_ns`, and the body's pose then."""

    features: NDArray[np.float32]
    at_ns: int
    T_odom_then: Transform

    def at_tick(self, T_odom_tick: Transform) -> NDArray[np.float32]:
        """The map as it lies in the body's axes at a tick."""
        return warp_map(self.features, planar_motion(T_odom_tick.inverse() @ self.T_odom_then))


class FeatureMemory:
    """The last two different maps of each stream."""

    def __init__(self) -> None:
        self._last: dict[str, RememberedMap] = {}
        self._before: dict[str, RememberedMap] = {}

    def put(self, stream: str, new: RememberedMap) -> None:
        """Remember a stream's map; a tick may bring the same one again."""
        last = self._last.get(stream)
        if last is not None and last.features is not new.features:
            self._before[stream] = last
        self._last[stream] = new

    def before(self, stream: str) -> RememberedMap | None:
        """The map before a stream's newest, where it is one sweep old and not many."""
        last, before = self._last.get(stream), self._before.get(stream)
        if last is None or before is None:
            return None
        return before if NEAREST_BEFORE_NS <= last.at_ns - before.at_ns <= FARTHEST_BEFORE_NS else None

    def forget(self) -> None:
        self._last.clear()
        self._before.clear()
