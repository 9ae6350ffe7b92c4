"""Which found objects are which true ones: greedy matching by centre distance, best score first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.decode import GROUP_OF_CLASS
from sensorfuse.messages import CLASSES, Detections

MATCH_M = 2.0


def match_centres(found: Detections, truth: Detections, radius_m: float = MATCH_M) -> NDArray[np.bool_]:
    """Which found objects (N,), taken best first, lie within `radius_m` of a true one that no better one took."""
    hit = np.zeros(len(found), dtype=bool)
    free = np.ones(len(truth), dtype=bool)
    for n in np.argsort(-found.score, kind="stable"):
        distance = np.where(free, np.hypot(*(truth.center[:, :2] - found.center[n, :2]).T), np.inf)
        if len(distance) and distance.min() <= radius_m:
            free[int(distance.argmin())] = False
            hit[n] = True
    return hit


def in_group(objects: Detections, group: int) -> Detections:
    """The objects whose class belongs to a group of `GROUPS`."""
    return objects.select(np.array([GROUP_OF_CLASS.get(CLASSES[c], -1) == group for c in objects.class_id], dtype=bool))
