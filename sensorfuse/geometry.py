"""Rigid transforms and rotations.

A transform is named `T_dst_src` and maps source coordinates to destination coordinates: `p_dst = T_dst_src @ p_src`.
Quaternions are xyzw (as ROS and SciPy). Base frame (REP-103): x forward, y left, z up, metres. Optical frames: z
forward, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Rotation that takes optical coordinates (z forward, x right, y down) to body coordinates (x forward, y left, z up).
R_BODY_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def matrix_from_quaternion(q_xyzw: ArrayLike) -> Array:
    """Rotation matrix (3, 3) of a quaternion xyzw (4,); the quaternion is normalised first.

    Raises:
        ValueError: the quaternion is not finite or has no length.
    """
    q = np.asarray(q_xyzw, dtype=np.float64)
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-9:
        msg = f"a rotation quaternion needs four finite numbers that are not all zero, got {q.tolist()}"
        raise ValueError(msg)
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(rotation: ArrayLike) -> Array:
    """Unit quaternion xyzw (4,) of a rotation matrix (3, 3), with w >= 0 (Shepperd's method)."""
    m = np.asarray(rotation, dtype=np.float64)
    trace = float(np.trace(m))
    candidates = np.array([m[0, 0], m[1, 1], m[2, 2], trace])
    k = int(np.argmax(candidates))
    q = np.empty(4)
    if k == 3:
        q[:] = [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1.0 + trace]
    else:
        i, j, m_ = k, (k + 1) % 3, (k + 2) % 3
        q[i] = 1.0 - trace + 2.0 * m[i, i]
        q[j] = m[j, i] + m[i, j]
        q[m_] = m[m_, i] + m[i, m_]
        q[3] = m[m_, j] - m[j, m_]
    q /= np.linalg.norm(q)
    return q if q[3] >= 0 else -q


def matrix_from_rpy(rpy_rad: ArrayLike) -> Array:
    """Rotation matrix (3, 3) of fixed-axis roll, pitch, yaw in radians (as URDF): Rz(yaw) Ry(pitch) Rx(roll)."""
    roll, pitch, yaw = np.asarray(rpy_rad, dtype=np.float64)
    cr, sr, cp, sp, cy, sy = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def skew(v: ArrayLike) -> Array:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3): `skew(v) @ u == cross(v, u)`."""
    vectors = np.asarray(v, dtype=np.float64)
    out = np.zeros((*vectors.shape, 3))
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -z, y, -x
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = z, -y, x
    return out


def exp_rotation(rotvec_rad: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3) in radians (Rodrigues)."""
    v = np.asarray(rotvec_rad, dtype=np.float64)
    angle = np.sqrt((v * v).sum(axis=-1))[..., None, None]
    k = skew(v)
    return np.asarray(np.eye(3) + np.sinc(angle / np.pi) * k + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (k @ k))


def wrap_angle(angle_rad: ArrayLike) -> Array:
    """The same angle(s) in [-pi, pi)."""
    return (np.asarray(angle_rad, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi


@dataclass(frozen=True)
class Transform:
    """A rigid transform: rotation (3, 3) and translation (3,) in metres."""

    rotation: Array
    translation: Array

    @staticmethod
    def identity() -> Transform:
        return Transform(np.eye(3), np.zeros(3))

    @staticmethod
    def from_quaternion(translation: ArrayLike, q_xyzw: ArrayLike) -> Transform:
        return Transform(matrix_from_quaternion(q_xyzw), np.asarray(translation, dtype=np.float64))

    @staticmethod
    def from_rpy(translation: ArrayLike, rpy_rad: ArrayLike) -> Transform:
        return Transform(matrix_from_rpy(rpy_rad), np.asarray(translation, dtype=np.float64))

    @staticmethod
    def from_matrix(matrix: ArrayLike) -> Transform:
        """From a homogeneous matrix (4, 4).

        Raises:
            ValueError: wrong shape, not finite, or the upper-left block is no rotation within 1e-3.
        """
        m = np.asarray(matrix, dtype=np.float64)
        if m.shape != (4, 4) or not np.isfinite(m).all():
            msg = f"a transform matrix needs 4 x 4 finite numbers, got shape {m.shape}"
            raise ValueError(msg)
        r = m[:3, :3]
        if np.abs(r @ r.T - np.eye(3)).max() > 1e-3 or np.linalg.det(r) < 0:
            msg = "the upper-left 3 x 3 block of a transform matrix must be a rotation (orthonormal, determinant +1)"
            raise ValueError(msg)
        u, _, vt = np.linalg.svd(r)  # nearest rotation, so that rounding in a file does not accumulate
        return Transform(u @ vt, m[:3, 3].copy())

    def matrix(self) -> Array:
        m = np.eye(4)
        m[:3, :3] = self.rotation
        m[:3, 3] = self.translation
        return m

    def quaternion(self) -> Array:
        """Quaternion xyzw (4,)."""
        return quaternion_from_matrix(self.rotation)

    def inverse(self) -> Transform:
        rt = self.rotation.T
        return Transform(rt, -rt @ self.translation)

    @overload
    def __matmul__(self, other: Transform) -> Transform: ...
    @overload
    def __matmul__(self, other: NDArray[np.floating]) -> Array: ...
    def __matmul__(self, other: Transform | NDArray[np.floating]) -> Transform | Array:
        """Compose with a transform, or apply to points (..., 3)."""
        if isinstance(other, Transform):
            return Transform(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)
        return np.asarray(other) @ self.rotation.T + self.translation

    def yaw(self) -> float:
        """Heading of the source x axis in the destination x-y plane, radians."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))


def motion_between(twist: ArrayLike, dt_s: float) -> Transform:
    """`T_now_then` for a body that moved with a constant twist (vx vy vz wx wy wz, body axes) for `dt_s` seconds.

    A point fixed in the world, seen at `then` in the body frame, lies at `T_now_then @ p` in the body frame `dt_s`
    later.
    """
    v, w = np.asarray(twist, dtype=np.float64)[:3], np.asarray(twist, dtype=np.float64)[3:]
    half = exp_rotation(0.5 * dt_s * w)
    forward = Transform(exp_rotation(dt_s * w), half @ (v * dt_s))  # T_then_now, midpoint rule for the translation
    return forward.inverse()
