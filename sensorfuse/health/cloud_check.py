"""What can be wrong with a LiDAR's cloud."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.health.typical import Typical
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import ContentFault, SensorConfig

LOOKED_AT = 4096  # points
SPARSE_SHARE = 0.3  # of the typical number of points
SECTORS = 24
MIN_SHARE = 0.02  # of the points: less is not surely missed
GONE = 0.05  # of its typical number, a ring or a sector is gone
LOST_BEAMS = 0.05  # share of the rings
LEARN_EVERY_S = 0.5


class CloudCheck:
    """Looks at the number of points, and which rings and which directions they are of.

    A ring is lost when both rings beside it have points as usual: sky and open land take points from whole groups of
    rings at the edge, a dead beam is alone. A direction is lost when next to nothing comes from it at any height.
    """

    def __init__(self, config: SensorConfig) -> None:
        every = round(LEARN_EVERY_S * config.message_rate_hz)
        self._count, self._rings, self._sectors = Typical(every), Typical(every), Typical(every)

    def faults(self, sample: Sample) -> dict[ContentFault, str]:
        """What is wrong with this cloud alone, in words."""
        points = sample.arrays["points"]
        step = len(points) // LOOKED_AT | 1  # odd: one that shares a factor with the rings would see but some of them
        some = points[::step]
        size = np.abs(some[:, 0]) + np.abs(some[:, 1]) + np.abs(some[:, 2])
        seen = np.isfinite(size) & (size > 0.0)
        if not seen.any():
            return {"empty": "empty cloud"}
        count = float(len(points) * seen.mean())
        found: dict[ContentFault, str] = {}
        typical = self._count.value
        if typical is not None and count < SPARSE_SHARE * float(typical):
            found["sparse"] = "few points, of what is typical"
        if "ring" in sample.arrays:
            self._look_at_rings(sample.arrays["ring"][::step][seen], found)
        self._look_around(some[seen], found)
        if not found:
            self._count.learn(count)
        return found

    def _look_at_rings(self, ring: NDArray[np.uint16], found: dict[ContentFault, str]) -> None:
        counts = np.bincount(ring, minlength=int(ring.max()) + 1).astype(np.float64)
        typical = self._rings.value
        if typical is not None and len(typical) > len(counts):
            counts = np.pad(counts, (0, len(typical) - len(counts)))
        if typical is not None and len(typical) == len(counts) >= 3:
            usual = counts > 0.5 * typical
            beside = np.concatenate([[False], usual[:-2] & usual[2:], [False]])
            dead = (counts < GONE * typical) & (typical > 0.25 * typical.mean()) & beside
            if dead.sum() >= max(1.0, LOST_BEAMS * len(counts)):
                found["beams"] = "dead beams"
        if "beams" not in found:
            self._rings.learn(counts)

    def _look_around(self, points: NDArray[np.float32], found: dict[ContentFault, str]) -> None:
        turn = np.arctan2(points[:, 1], points[:, 0])
        sector = np.clip(((turn + np.pi) * (SECTORS / (2 * np.pi))).astype(np.int64), 0, SECTORS - 1)
        share = np.bincount(sector, minlength=SECTORS) / len(points)
        typical = self._sectors.value
        if typical is not None and ((share < GONE * typical) & (typical > MIN_SHARE)).any():
            found["sectors"] = "nothing from some directions"
        else:
            self._sectors.learn(share)
