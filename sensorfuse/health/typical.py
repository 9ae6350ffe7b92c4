"""What is typical of a stream, learned from itself."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW, LEAST, REVIEW = 64, 8, 8


class Typical:
    """Median of the last values, each a number or an array of one shape, entry by entry; None before enough came.

    A value that is to be judged is judged before it is learned, and one that is odd is not learned: what lasts does not
    become typical by lasting. `period` values are passed over for each that is learned.
    """

    def __init__(self, period: int = 1) -> None:
        self._values: deque[NDArray[np.float64]] = deque(maxlen=WINDOW)
        self._period = max(1, period)
        self._since = 0
        self._unread = 0
        self.value: NDArray[np.float64] | None = None

    def learn(self, value: Any) -> None:
        """Take in one value; an array of another shape begins anew."""
        self._since += 1
        if self._since < self._period and len(self._values) >= LEAST:
            return
        self._since = 0
        new = np.asarray(value, dtype=np.float64)
        if self._values and self._values[-1].shape != new.shape:
            self._values.clear()
            self.value = None
        self._values.append(new)
        self._unread += 1
        if self._unread >= REVIEW and len(self._values) >= LEAST:
            self._unread = 0
            self.value = np.median(np.stack(self._values), axis=0)
