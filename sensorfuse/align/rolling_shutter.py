"""When each row of a picture was exposed: a rolling shutter takes them one after the other.

Row 0 begins its exposure first and the last row `readout_s` later; each is exposed for `exposure_s`. The stamp names
the beginning of the first row's exposure, the end of the last row's, or the middle between the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.messages import StampSemantics
from sensorfuse.sensor_config import Intrinsics


def row_times_ns(
    stamp_ns: int, stamp: StampSemantics, intrinsics: Intrinsics, rows: ArrayLike | None = None
) -> NDArray[np.int64]:
    """The middle of each row's exposure, in the clock of the stamp: of all rows (H,), or of `rows` (...), which may be
    fractions and lie outside the picture.
    """
    length_s = intrinsics.exposure_s + intrinsics.readout_s
    first_s = {"start": 0.0, "mid": -0.5, "end": -1.0}[stamp] * length_s + 0.5 * intrinsics.exposure_s
    row = np.arange(intrinsics.height) if rows is None else np.asarray(rows, dtype=np.float64)
    after_s = first_s + row * (intrinsics.readout_s / max(intrinsics.height - 1, 1))
    return stamp_ns + np.rint(1e9 * after_s).astype(np.int64)
