"""The bias of a gyro, from moments when the body stands still.

Over a second at rest a gyro reads nothing but its bias. Rest is when the rates hardly vary, the direction of gravity
does not turn, and no other sensor sees the body move; a steady turn about the vertical fools the first two, so a bias
once known is only followed slowly. (Zero-velocity detection: Skog et al., IEEE Trans. Biomed. Eng. 57, 2010.)
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOW_NS = 1_000_000_000
MIN_SAMPLES = 50
MAX_SPREAD_RADPS = 0.02  # standard deviation of the rate about each axis; a MEMS gyro on a shaking frame has 0.01
MAX_BIAS_RADPS = 0.15
MAX_TURN_MPS2 = 0.1  # between the mean specific forces of the window's halves
MAX_STEP_RADPS = 0.01  # further than this from a known bias is motion
GAIN = 0.2  # of a window at rest, once the bias is known
MAX_HOLE_NS = 200_000_000


class GyroBias:
    """One IMU's gyro bias (3,) in its own axes, rad/s; zero until it first stands still."""

    def __init__(self) -> None:
        self.value: Array = np.zeros(3)
        self.known = False
        self._recent: deque[tuple[int, Array, Array]] = deque()  # event_ns, rates (N, 3), specific forces (N, 3)

    def update(self, event_ns: int, gyro: Array, accel: Array, moving: bool) -> None:
        """Take a message: rates and specific forces (N, 3) in sensor axes; `moving` if another sensor says so."""
        if moving or (self._recent and not 0 < event_ns - self._recent[-1][0] < MAX_HOLE_NS):
            self._recent.clear()
            return
        self._recent.append((event_ns, gyro, accel))
        if event_ns - self._recent[0][0] < WINDOW_NS:
            return
        rates, forces = (np.concatenate([row[k] for row in self._recent]) for k in (1, 2))
        self._recent.popleft()
        half = len(rates) // 2
        mean = rates.mean(axis=0)
        still = (
            len(rates) >= MIN_SAMPLES
            and rates.std(axis=0).max() < MAX_SPREAD_RADPS
            and np.abs(mean).max() < MAX_BIAS_RADPS
            and np.linalg.norm(forces[:half].mean(axis=0) - forces[half:].mean(axis=0)) < MAX_TURN_MPS2
        )
        if still and (not self.known or np.abs(mean - self.value).max() < MAX_STEP_RADPS):
            self.value = self.value + GAIN * (mean - self.value) if self.known else mean
            self.known = True
            self._recent.clear()  # the next window is another one
