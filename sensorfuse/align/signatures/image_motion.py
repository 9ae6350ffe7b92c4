"""How much a picture differs from the one before: motion energy, for alignment with sound."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.signatures.picture import Grey

WIDTH = 120  # pixels of the picture that is compared: noise is averaged away
DARK = 4.0  # mean grey level below which gains are not matched


class ImageMotion:
    """Mean absolute difference of consecutive pictures, in grey levels of the later one's exposure."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None

    def measure(self, grey: Grey) -> float | None:
        """The energy against the picture before; None for the first and where the size changed."""
        height = max(round(grey.shape[0] * WIDTH / grey.shape[1]), 1)
        small = cv2.resize(grey, (WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return None
        now_mean, before_mean = float(small.mean()), float(before.mean())
        gain = now_mean / before_mean if min(now_mean, before_mean) > DARK else 1.0
        return float(np.abs(small - np.float32(gain) * before).mean())

    def forget(self) -> None:
        """The next picture is a first one."""
        self._before = None
