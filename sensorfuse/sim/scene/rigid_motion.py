"""How a rigid body moves: place, attitude and their exact first and second derivatives.

Attitude is R = Rz(yaw) Ry(pitch) Rx(roll) (fixed-axis roll, pitch, yaw). Body rates are its Euler-angle kinematics,
and their derivatives by the product rule (Diebel 2006, "Representing Attitude").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.geometry import Transform

Array = NDArray[np.float64]

GRAVITY_MPS2 = 9.80665


@njit(cache=True)
def _attitude(rpy: Array, rotation: Array, rate: Array, spin: Array) -> None:
    """R_world_body (K, 3, 3), its rate and spin (K, 3), of roll, pitch, yaw and two derivatives (K, 3, 3)."""
    for k in range(len(rpy)):
        cr, sr = math.cos(rpy[k, 0, 0]), math.sin(rpy[k, 0, 0])
        cp, sp = math.cos(rpy[k, 0, 1]), math.sin(rpy[k, 0, 1])
        cy, sy = math.cos(rpy[k, 0, 2]), math.sin(rpy[k, 0, 2])
        dr, dp, dy = rpy[k, 1, 0], rpy[k, 1, 1], rpy[k, 1, 2]
        ddr, ddp, ddy = rpy[k, 2, 0], rpy[k, 2, 1], rpy[k, 2, 2]
        rotation[k, 0, 0], rotation[k, 1, 0], rotation[k, 2, 0] = cy * cp, sy * cp, -sp
        rotation[k, 0, 1], rotation[k, 1, 1] = cy * sp * sr - sy * cr, sy * sp * sr + cy * cr
        rotation[k, 0, 2], rotation[k, 1, 2] = cy * sp * cr + sy * sr, sy * sp * cr - cy * sr
        rotation[k, 2, 1], rotation[k, 2, 2] = cp * sr, cp * cr
        rate[k, 0] = dr - dy * sp
        rate[k, 1] = dp * cr + dy * cp * sr
        rate[k, 2] = dy * cp * cr - dp * sr
        spin[k, 0] = ddr - ddy * sp - dy * dp * cp
        spin[k, 1] = ddp * cr - dp * dr * sr + ddy * cp * sr - dy * dp * sp * sr + dy * dr * cp * cr
        spin[k, 2] = ddy * cp * cr - dy * dp * sp * cr - dy * dr * cp * sr - ddp * sr - dp * dr * cr


@njit(cache=True)
def _at(
    position: Array, rotation: Array, velocity: Array, acceleration: Array, rate: Array, spin: Array, lever: Array,
    out: Array,
) -> None:  # fmt: skip
    lx, ly, lz = lever[0], lever[1], lever[2]
    for k in range(len(position)):
        wx, wy, wz = rate[k, 0], rate[k, 1], rate[k, 2]
        ax, ay, az = spin[k, 0], spin[k, 1], spin[k, 2]
        vx, vy, vz = wy * lz - wz * ly, wz * lx - wx * lz, wx * ly - wy * lx
        px = ay * lz - az * ly + wy * vz - wz * vy
        py = az * lx - ax * lz + wz * vx - wx * vz
        pz = ax * ly - ay * lx + wx * vy - wy * vx
        for i in range(3):
            r0, r1, r2 = rotation[k, i, 0], rotation[k, i, 1], rotation[k, i, 2]
            out[0, k, i] = position[k, i] + r0 * lx + r1 * ly + r2 * lz
            out[1, k, i] = velocity[k, i] + r0 * vx + r1 * vy + r2 * vz
            out[2, k, i] = acceleration[k, i] + r0 * px + r1 * py + r2 * pz


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
        rotation, rate, spin = np.empty((len(rpy), 3, 3)), np.empty((len(rpy), 3)), np.empty((len(rpy), 3))
        _attitude(rpy, rotation, rate, spin)
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

    def at(self, lever: ArrayLike) -> tuple[Array, Array, Array]:
        """Place, velocity and acceleration, (K, 3) each in world axes, of a point fixed at `lever` (3,) on the body."""
        out = np.empty((3, len(self), 3))
        _at(
            self.position, self.rotation, self.velocity, self.acceleration, self.rate, self.spin,
            np.asarray(lever, dtype=np.float64), out,
        )  # fmt: skip
        return out[0], out[1], out[2]
