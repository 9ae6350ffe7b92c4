"""Windows of people who act as others might have acted: another pace, other ways to stand and to wear a sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial.transform import Rotation

from sensorfuse.fusion.training.activity_data import SENSOR_VECTORS, Windows, read_at

INERTIAL_UPRIGHT, SKELETON_UPRIGHT = 0, 1
"""Axes along the vertical: of level vectors and of joints."""
KNOTS = 6
"""Stretches of a window that have a pace of their own."""


class Augmentation(BaseModel):
    """Standard deviations, but for `crop`: the greatest share of a window that is cut off either end.

    `pace`: of the logarithm of each stretch's pace. `wear_rad`, `heading_rad`, `lean_rad`: rotations of a sensor on
    its limb, about the vertical, and about any axis. `strength`, `size`: of the logarithm of a sensor's and of each
    axis of a skeleton's scale. Noise: relative to gravity, rad/s or torso lengths, per sample and per joint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pace: float = Field(default=0.35, ge=0)
    crop: float = Field(default=0.08, ge=0, lt=0.5)
    wear_rad: float = Field(default=0.2, ge=0)
    heading_rad: float = Field(default=0.3, ge=0)
    lean_rad: float = Field(default=0.05, ge=0)
    strength: float = Field(default=0.1, ge=0)
    size: float = Field(default=0.08, ge=0)
    inertial_noise: float = Field(default=0.05, ge=0)
    joint_noise: float = Field(default=0.01, ge=0)
    joint_offset: float = Field(default=0.02, ge=0)


def read_plain(
    windows: Windows, index: NDArray[np.int64], steps: tuple[int, int], crop: tuple[float, float] = (0.0, 0.0)
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inertial (B, S, 5, 3) and skeleton (B, K, 20, 3) at equal steps, for `steps` (S, K); the shares `crop` of either
    end are left out.
    """
    first, last = crop[0], 1.0 - crop[1]
    u = [np.broadcast_to(np.linspace(first, last, n), (len(index), n)) for n in steps]
    return read_at(windows.inertial[index], u[0]), read_at(windows.skeleton[index], u[1])


def read_augmented(
    windows: Windows, index: NDArray[np.int64], steps: tuple[int, int], given: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `read_plain`, each window changed at random. Both modalities go at one pace."""
    count, most = len(index), max(steps)
    u = warped_times(count, most, given, rng)
    times = [u if n == most else read_at(u, _equal(count, n)) for n in steps]
    inertial, skeleton = read_at(windows.inertial[index], times[0]), read_at(windows.skeleton[index], times[1])

    heading = np.eye(3)[INERTIAL_UPRIGHT] * rng.normal(0, given.heading_rad, (count, 1))
    level = _turns(rng.normal(0, given.lean_rad, (count, 3)) + heading)
    worn = _turns(rng.normal(0, given.wear_rad, (count, 3)))
    cut = len(SENSOR_VECTORS)
    inertial = np.concatenate([_turned(inertial[:, :, :cut], worn), _turned(inertial[:, :, cut:], level)], axis=2)
    inertial *= np.exp(given.strength * _noise(rng, count, 1, 1, 1))
    inertial += given.inertial_noise * _noise(rng, *inertial.shape)

    heading = np.eye(3)[SKELETON_UPRIGHT] * rng.normal(0, given.heading_rad, (count, 1))
    skeleton = _turned(skeleton, _turns(rng.normal(0, given.lean_rad, (count, 3)) + heading))
    skeleton *= np.exp(given.size * _noise(rng, count, 1, 1, 3))
    skeleton += given.joint_offset * _noise(rng, count, 1, *skeleton.shape[2:])
    skeleton += given.joint_noise * _noise(rng, *skeleton.shape)
    return inertial, skeleton


def warped_times(count: int, steps: int, given: Augmentation, rng: np.random.Generator) -> NDArray[np.float64]:
    """Times (B, S) in [0, 1] that never go back, at a pace that changes, from one crop to the other."""
    pace = np.exp(rng.normal(0, given.pace, (count, KNOTS)))
    knots = np.concatenate([np.zeros((count, 1)), np.cumsum(pace, axis=1)], axis=1)
    u = read_at(knots / knots[:, -1:], _equal(count, steps))
    first, last = rng.uniform(0, given.crop, (2, count, 1))
    return np.asarray(first + (1 - first - last) * u)


def _equal(count: int, steps: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.linspace(0.0, 1.0, steps), (count, steps))


def _noise(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _turns(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rotation matrices (B, 3, 3) of rotation vectors (B, 3)."""
    return np.asarray(Rotation.from_rotvec(vectors).as_matrix(), np.float32)


def _turned(x: NDArray[np.float32], turns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (B, T, V, 3), each window turned by its matrix."""
    return np.asarray(np.matmul(x.reshape(len(x), -1, 3), turns.transpose(0, 2, 1)).reshape(x.shape))
