"""Points measured at different times by something that moves, brought to one time.

p' = T_ref_t p for each point's own t: the motion is known at knots; between two of them rotation is turned at a
constant rate (exactly) and translation is linear. A sweep has far more points than knots, so the work is one rotation
and one translation per point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from sensorfuse.geometry import Transform, exp_rotation
from sensorfuse.messages import Tick

Array = NDArray[np.float64]
Times = NDArray[np.int64]

KNOT_NS, AROUND_NS = 10_000_000, 200_000_000
SHIFT, TURN, SPEED = 9, 12, 15
"""Where things are in the row of a piece of motion: after the rotation at its first knot, the place there, and turn and
speed per second."""


@dataclass(frozen=True)
class BodyMotion:
    """How a body moved about a reference time: `poses` (K, 3, 4) are `T_ref_t`, the body at `times_ns` (K,) after the
    reference time (ascending) as seen from the body at that time. Beyond the knots it moves on as at the ends.
    """

    times_ns: Times
    poses: Array

    @staticmethod
    def from_twist(twist: ArrayLike, start_ns: int = -AROUND_NS, end_ns: int = AROUND_NS) -> BodyMotion:
        """A constant twist (vx vy vz wx wy wz, body axes) between two times after the reference time; what of it is not
        known (inf, NaN) is 0. Midpoint rule, as `geometry.motion_between`.
        """
        known = np.nan_to_num(np.asarray(twist, dtype=np.float64), posinf=0.0, neginf=0.0)
        count = max(2, (end_ns - start_ns) // KNOT_NS + 2)
        times = start_ns + np.arange(count, dtype=np.int64) * KNOT_NS
        dt = times[:, None] / 1e9
        moved = exp_rotation(0.5 * dt * known[3:]) @ (known[:3] * dt)[:, :, None]
        return BodyMotion(times, np.concatenate([exp_rotation(dt * known[3:]), moved], axis=2))

    @staticmethod
    def of_tick(tick: Tick, twist: ArrayLike | None = None) -> BodyMotion:
        """The tick's own; where it carries none a constant twist, which is the tick's unless given."""
        if len(tick.motion_ns) > 1:
            return BodyMotion(tick.motion_ns, tick.motion)
        return BodyMotion.from_twist(tick.twist if twist is None else twist)

    def at(self, time_ns: ArrayLike) -> Array:
        """`T_ref_t` (..., 3, 4) at times (...) after the reference time."""
        times = np.asarray(time_ns, dtype=np.int64)
        k = np.clip(np.searchsorted(self.times_ns, times, side="right") - 1, 0, len(self.times_ns) - 2)
        row = self.pieces()[k]
        dt = ((times - self.times_ns[k]) / 1e9)[..., None]
        rotation = row[..., :SHIFT].reshape(*times.shape, 3, 3) @ exp_rotation(dt * row[..., TURN:SPEED])
        return np.concatenate([rotation, (row[..., SHIFT:TURN] + dt * row[..., SPEED:])[..., None]], axis=-1)

    def transform(self, time_ns: int) -> Transform:
        """`T_ref_t` at one time after the reference time."""
        pose = self.at(time_ns)
        return Transform(pose[:, :3], pose[:, 3])

    def pieces(self) -> Array:
        """Rows (K - 1, 18): T_ref_body at the beginning, turn (body axes) and speed (reference axes) per second."""
        dt = (np.diff(self.times_ns) / 1e9)[:, None]
        rotation, place = self.poses[:, :, :3], self.poses[:, :, 3]
        turn = Rotation.from_matrix(rotation[:-1].transpose(0, 2, 1) @ rotation[1:]).as_rotvec() / dt
        return np.concatenate([rotation[:-1].reshape(-1, 9), place[:-1], turn, np.diff(place, axis=0) / dt], axis=1)


@njit(cache=True)
def _deskew(points, time_ns, knots_ns, pieces, mount, out):  # type: ignore[no-untyped-def]
    last = len(pieces) - 1
    k = 0
    for n in range(len(points)):
        t = time_ns[n]
        while k < last and t >= knots_ns[k + 1]:
            k += 1
        while k > 0 and t < knots_ns[k]:
            k -= 1
        row = pieces[k]
        dt = (t - knots_ns[k]) * 1e-9
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        px = mount[0, 0] * x + mount[0, 1] * y + mount[0, 2] * z + mount[0, 3]
        py = mount[1, 0] * x + mount[1, 1] * y + mount[1, 2] * z + mount[1, 3]
        pz = mount[2, 0] * x + mount[2, 1] * y + mount[2, 2] * z + mount[2, 3]
        wx, wy, wz = dt * row[12], dt * row[13], dt * row[14]
        square = wx * wx + wy * wy + wz * wz
        if square < 0.01:  # the series is exact to 1e-10 here
            a = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0))
            b = 0.5 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0)))
        else:
            angle = math.sqrt(square)
            a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / square
        cx, cy, cz = wy * pz - wz * py, wz * px - wx * pz, wx * py - wy * px
        px, py, pz = (
            px + a * cx + b * (wy * cz - wz * cy),
            py + a * cy + b * (wz * cx - wx * cz),
            pz + a * cz + b * (wx * cy - wy * cx),
        )
        out[n, 0] = row[0] * px + row[1] * py + row[2] * pz + row[9] + dt * row[15]
        out[n, 1] = row[3] * px + row[4] * py + row[5] * pz + row[10] + dt * row[16]
        out[n, 2] = row[6] * px + row[7] * py + row[8] * pz + row[11] + dt * row[17]


def deskew(
    points: NDArray[np.floating],
    time_ns: NDArray[np.integer],
    motion: BodyMotion,
    T_body_sensor: Transform | None = None,
) -> NDArray[np.floating]:
    """Points (N, 3) of a sensor, each at its own `time_ns` (N,) after the motion's reference time, as they lie in body
    axes at that time had nothing but the body moved. Of the points' own floating type; NaN stays NaN.

    Raises:
        ValueError: the lengths differ, or the motion has fewer than two knots.
    """
    if points.ndim != 2 or points.shape[1] != 3 or len(time_ns) != len(points) or len(motion.times_ns) < 2:
        msg = (
            f"expected points (N, 3) with N times and at least 2 knots of motion, got {points.shape}, {len(time_ns)} "
            f"times and {len(motion.times_ns)} knots"
        )
        raise ValueError(msg)
    mount = (T_body_sensor or Transform.identity()).matrix()
    out = np.empty_like(points, dtype=points.dtype if points.dtype == np.float32 else np.float64)
    _deskew(points, time_ns, np.asarray(motion.times_ns, dtype=np.int64), motion.pieces(), mount, out)
    return out
