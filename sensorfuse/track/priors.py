"""What each class of road user looks like before a sensor has looked: size, speed and radar cross-section.

Sizes are rounded means and spreads of European road users; they complete the faces that a sensor cannot see, and are
the only knowledge that the untrained detectors have of classes. An emergency vehicle has the body of a van: shape alone
cannot tell it from one, so its prior weight is small and a siren's direction decides (`sensorfuse.fusion.late`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import CLASSES


@dataclass(frozen=True)
class ClassPrior:
    """Gaussian priors of one class: metres, m/s, dBsm; `weight` is the share of road users."""

    size_m: tuple[float, float, float]  # mean length, width, height
    size_sigma_m: tuple[float, float, float]
    speed_sigma_mps: float  # one sigma of each velocity component
    rcs_dbsm: float
    rcs_sigma_db: float
    weight: float


CLASS_PRIORS: dict[str, ClassPrior] = {
    "car": ClassPrior((4.4, 1.8, 1.55), (0.4, 0.15, 0.15), 8.0, 10.0, 5.0, 0.55),
    "van": ClassPrior((5.3, 2.0, 2.2), (0.5, 0.15, 0.3), 8.0, 12.0, 5.0, 0.12),
    "truck": ClassPrior((8.5, 2.5, 3.3), (1.5, 0.2, 0.4), 8.0, 20.0, 5.0, 0.07),
    "bus": ClassPrior((11.5, 2.55, 3.2), (1.0, 0.15, 0.3), 8.0, 20.0, 5.0, 0.03),
    "emergency_vehicle": ClassPrior((5.8, 2.1, 2.6), (0.6, 0.15, 0.3), 10.0, 14.0, 5.0, 0.01),
    "cyclist": ClassPrior((1.8, 0.65, 1.75), (0.2, 0.12, 0.15), 4.0, 0.0, 5.0, 0.09),
    "pedestrian": ClassPrior((0.6, 0.6, 1.72), (0.2, 0.2, 0.15), 1.5, -6.0, 5.0, 0.13),
}
UNKNOWN = CLASSES.index("unknown")
VEHICLES: tuple[int, ...] = tuple(CLASSES.index(n) for n in ("car", "van", "truck", "bus", "emergency_vehicle"))


def _column(name: str) -> NDArray[np.float64]:
    return np.array([getattr(CLASS_PRIORS[c], name) for c in CLASSES if c != "unknown"], dtype=np.float64)


# One row per class in the order of CLASSES, `unknown` (the last) left out.
SIZE_M = _column("size_m")  # (K, 3)
SIZE_SIGMA_M = _column("size_sigma_m")  # (K, 3)
SPEED_SIGMA_MPS = np.append(_column("speed_sigma_mps"), 6.0)  # (K + 1,) with unknown
RCS_DBSM = _column("rcs_dbsm")  # (K,)
RCS_SIGMA_DB = _column("rcs_sigma_db")  # (K,)
LOG_WEIGHT = np.log(_column("weight"))  # (K,)
