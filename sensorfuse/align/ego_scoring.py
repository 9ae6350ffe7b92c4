"""Dead-reckoned ego motion against true poses: the relative pose error over a fixed interval.

For poses P (estimated) and Q (true) at times i and j an interval apart, the error is (Q_i^-1 Q_j)^-1 (P_i^-1 P_j); its
rotation angle and the length of its translation say what dead reckoning loses in that time, wherever the two worlds
have their origins. Source: Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems", IROS 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from sensorfuse.messages import Truth

Array = NDArray[np.float64]

INTERVAL_NS = 1_000_000_000
MAX_HOLE_NS = 50_000_000  # between two true poses: further apart nothing is said in between


class PoseTrack:
    """True poses over time, interpolated: rotation spherically, position linearly."""

    def __init__(self, known: Sequence[Truth]) -> None:
        posed = [(t.stamp_ns, t.pose) for t in known if t.pose is not None]
        self._times = np.array([t for t, _ in posed], dtype=np.int64)
        self._poses = np.array([p for _, p in posed]).reshape(-1, 4, 4)

    def at(self, t_ns: int) -> Array | None:
        """`T_world_base` (4, 4) at a time; None before the first, after the last, and in holes."""
        i = int(np.searchsorted(self._times, t_ns))
        if i < len(self._times) and self._times[i] == t_ns:
            return self._poses[i]
        if i == 0 or i == len(self._times) or self._times[i] - self._times[i - 1] > MAX_HOLE_NS:
            return None
        share = float(t_ns - self._times[i - 1]) / float(self._times[i] - self._times[i - 1])
        out = np.eye(4)
        out[:3, :3] = Slerp([0.0, 1.0], Rotation.from_matrix(self._poses[i - 1 : i + 1, :3, :3]))(share).as_matrix()
        out[:3, 3] = (1 - share) * self._poses[i - 1, :3, 3] + share * self._poses[i, :3, 3]
        return out


def score_ego_motion(
    poses: Sequence[tuple[int, Array, Array]], interval_ns: int = INTERVAL_NS
) -> dict[str, Any] | None:
    """Relative pose error of rows (t_ns, `T_odom_base`, `T_world_base`), ascending in time.

    Each row is paired with the first one at least an interval later, if that comes within one and a half. Returns
    `interval_s`, `pairs`, the median and 95th percentile of the rotation error in degrees (`rotation_median_deg`,
    `rotation_p95_deg`), of the position error in metres (`position_median_m`, `position_p95_m`), and beside them the
    true motion's medians (`true_rotation_median_deg`, `true_distance_median_m`); None without a pair.
    """
    times = np.array([t for t, _, _ in poses], dtype=np.int64)
    later = np.searchsorted(times, times + interval_ns)
    first = np.flatnonzero(later < len(times))
    first = first[times[later[first]] - times[first] <= 1.5 * interval_ns]
    if not len(first):
        return None
    last = later[first]
    estimated, true = (np.array([row[k] for row in poses]) for k in (1, 2))
    moved, truly = (np.linalg.inv(p[first]) @ p[last] for p in (estimated, true))
    error = np.linalg.inv(truly) @ moved
    out: dict[str, Any] = {"interval_s": interval_ns / 1e9, "pairs": len(first)}
    angle, away = _angle_deg(error), np.linalg.norm(error[:, :3, 3], axis=1)
    for name, values, unit in (("rotation", angle, "deg"), ("position", away, "m")):
        out[f"{name}_median_{unit}"] = float(np.median(values))
        out[f"{name}_p95_{unit}"] = float(np.percentile(values, 95))
    out["true_rotation_median_deg"] = float(np.median(_angle_deg(truly)))
    out["true_distance_median_m"] = float(np.median(np.linalg.norm(truly[:, :3, 3], axis=1)))
    return out


def _angle_deg(motions: Array) -> Array:
    return np.asarray(np.degrees(Rotation.from_matrix(motions[:, :3, :3]).magnitude()))
