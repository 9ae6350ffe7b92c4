"""What can be wrong with a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.health.typical import Typical
from sensorfuse.messages import Sample
from sensorfuse.picture_file import decode_picture
from sensorfuse.sensor_config import ContentFault, SensorConfig

LOOKED_AT = (135, 240)  # rows and columns that a picture is thinned to
COARSE = 3  # of which so many square are averaged, so that noise is no detail
FLAT_SPREAD = 3.0  # grey levels, one sigma; the least of a picture of anything is ten times that
BLACK, WHITE = 40.0, 215.0
DARK_LEVEL, DARK_SHARE = 12, 0.97
BRIGHT_LEVEL, BRIGHT_SHARE = 250, 0.60
BLURRED_DETAIL, BLURRED_SHARE = 10.0, 0.25  # grey levels from one coarse pixel to the next, and of what is typical
LEARN_EVERY_S = 0.5


class ImageCheck:
    """Looks at brightness, contrast and sharpness of every picture, thinned out."""

    def __init__(self, config: SensorConfig) -> None:
        self._detail = Typical(round(LEARN_EVERY_S * config.message_rate_hz))

    def faults(self, sample: Sample) -> dict[ContentFault, str]:
        """What is wrong with this picture alone, in words; a file that cannot be read is left to who reads it."""
        grey = _thinned(sample)
        if grey is None or grey.size < 64:
            return {}
        spread, mean = float(grey.std()), float(grey.mean())
        if spread < FLAT_SPREAD:
            kind = "black" if mean < BLACK else "white" if mean > WHITE else "uniform"
            return {"uniform": f"{kind} picture"}
        found: dict[ContentFault, str] = {}
        if np.count_nonzero(grey < DARK_LEVEL) > DARK_SHARE * grey.size:
            found["dark"] = "nearly black picture"
        if np.count_nonzero(grey >= BRIGHT_LEVEL) > BRIGHT_SHARE * grey.size:
            found["overexposed"] = "overexposed picture"
        detail, typical = _detail(grey), self._detail.value
        if not found and typical is not None and detail < min(BLURRED_DETAIL, BLURRED_SHARE * float(typical)):
            found["blurred"] = "blurred or covered"
        elif not found:
            self._detail.learn(detail)
        return found


def _thinned(sample: Sample) -> NDArray[np.uint8] | None:
    """A grey picture of about `LOOKED_AT` pixels, of the green channel where there are colours."""
    arrays = sample.arrays
    if "image" in arrays:
        full = arrays["image"][:, :, 1]
    elif "image_mono" in arrays:
        full = arrays["image_mono"]
    else:
        decoded = decode_picture(arrays["jpeg"], cv2.IMREAD_REDUCED_GRAYSCALE_4)
        if decoded is None:
            return None
        full = np.asarray(decoded, np.uint8)
    rows, columns = (max(1, size // wanted) for size, wanted in zip(full.shape, LOOKED_AT, strict=True))
    return np.ascontiguousarray(full[::rows, ::columns])


def _detail(grey: NDArray[np.uint8]) -> float:
    """How much neighbouring coarse pixels differ where they differ most: the 99th percentile, in grey levels."""
    height, width = (max(2, size // COARSE) for size in grey.shape)
    coarse = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    steps = cv2.absdiff(coarse[:, 1:], coarse[:, :-1]).ravel()
    return float(np.partition(steps, len(steps) * 99 // 100)[len(steps) * 99 // 100])
