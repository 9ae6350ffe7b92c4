"""How a rigid body moves: place, attitude and their exact first and second derivatives.

Attitude is R = Rz(yaw) Ry(pitch) Rx(roll) (fixed-axis roll, pitch, yaw). Body rates are its Euler-angle kinematics,
and their derivatives by the product rule (Diebel 2006, "Representing Attitude").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RigidMotion:
    """Motion of `base_link` at K times. World axes, but `rate` and `spin` (its derivative) in body axes; SI units."""

    position: Array  # (K, 3)
    rotation: Array  # (K, 3, 3) R_world_base
    velocity: Array  # (K, 3)
    acceleration: Array  # (K, 3)
    rate: Array  # (K, 3)
    spin: Array  # (K, 3)

    @staticmethod
    def from_derivatives(place: Array, rpy: Array) -> RigidMotion:
        """From place and roll, pitch, yaw with two derivatives each: (K, 3 orders, 3)."""
        (roll, pitch, yaw), (dr, dp, dy), (ddr, ddp, ddy) = (rpy[:, i].T for i in range(3))
        cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
        rotation = np.stack(
            [
                np.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], -1),
                np.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], -1),
                np.stack([-sp, cp * sr, cp * cr], -1),
            ],
            axis=1,
        )
        rate = np.stack([dr - dy * sp, dp * cr + dy * cp * sr, dy * cp * cr - dp * sr], -1)
        spin = np.stack(
            [
                ddr - ddy * sp - dy * dp * cp,
                ddp * cr - dp * dr * sr + ddy * cp * sr - dy * dp * sp * sr + dy * dr * cp * cr,
                ddy * cp * cr - dy * dp * sp * cr - dy * dr * cp * sr - ddp * sr - dp * dr * cr,
            ],
            -1,
        )
        return RigidMotion(place[:, 0], rotation, place[:, 1], place[:, 2], rate, spin)

    def __len__(self) -> int:
        return len(self.position)

    @property
    def yaw(self) -> Array:
        """Heading (K,) of the body's x axis over ground."""
        return np.arctan2(self.rotation[:, 1, 0], self.rotation[:, 0, 0])

    def pose(self, k: int = 0) -> Transform:
        """T_world_base of row `k`."""
        return Transform(self.rotation[k], self.position[k])

    def at(self, lever: Array) -> tuple[Array, Array, Array]:
        """Place, velocity and acceleration, (K, 3) each in world axes, of a point fixed at `lever` (3,) on the body."""
        arm = np.broadcast_to(lever, self.rate.shape)
        swing = np.cross(self.rate, arm)
        push = np.cross(self.spin, arm) + np.cross(self.rate, swing)
        return (
            self.position + np.einsum("kij,kj->ki", self.rotation, arm),
            self.velocity + np.einsum("kij,kj->ki", self.rotation, swing),
            self.acceleration + np.einsum("kij,kj->ki", self.rotation, push),
        )
