"""Recordings of people who act, worn IMU and skeleton, as windows of one length: the data of UTD-MHAD.

Chen, Jafari, Kehtarnavaz, "UTD-MHAD: a multimodal dataset for human action recognition", ICIP 2015. A folder holds
`Inertial/a<action>_s<subject>_t<repetition>_inertial.mat` with `d_iner` (T, 6), specific force in g and angular rate in
degrees per second at 50 Hz, and `Skeleton/..._skeleton.mat` with `d_skel` (20, 3, T), joints in metres.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from sensorfuse.errors import SensorfuseError

ACTIONS = 27
TRAINING_SUBJECTS = (1, 3, 5, 7)
TEST_SUBJECTS = (2, 4, 6, 8)
"""The usual cross-subject split."""
JOINTS = 20
HEAD, HIP = 0, 3
"""Joints that place and size a skeleton."""
INERTIAL_RATE_HZ = 50.0
GRAVITY_MPS2 = 9.81
SHORTEST = 8
"""Samples of a recording, at the least."""

SENSOR_VECTORS = ("specific_force", "angular_rate", "upward")
LEVEL_VECTORS = ("acceleration", "level_rate")
INERTIAL_STEPS, SKELETON_STEPS = 256, 96
"""Samples of a stored window; it is read at fewer, at any times in between."""

Scalar = TypeVar("Scalar", bound=np.floating)
_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_inertial\.mat")


@dataclass(frozen=True)
class Recording:
    """One action by one subject: `inertial` (T, 6) in m/s^2 and rad/s, `skeleton` (K, 20, 3) in m; `action` from 0."""

    action: int
    subject: int
    repetition: int
    inertial: NDArray[np.float64]
    skeleton: NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """Recordings of one length each: `inertial` (N, 256, 5, 3), vectors named by `SENSOR_VECTORS` and `LEVEL_VECTORS`;
    `skeleton` (N, 96, 20, 3), in torso lengths about the mean hip; `action` and `subject` (N,).
    """

    inertial: NDArray[np.float32]
    skeleton: NDArray[np.float32]
    action: NDArray[np.int64]
    subject: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.action)

    def of_subjects(self, subjects: Iterable[int]) -> Windows:
        """Those of some subjects.

        Raises:
            SensorfuseError: one of them has no recording.
        """
        wanted = sorted(set(subjects))
        missing = [s for s in wanted if s not in self.subject]
        if missing:
            raise SensorfuseError(
                f"no recordings of subject {', '.join(map(str, missing))}; there are subjects "
                f"{', '.join(map(str, np.unique(self.subject)))}"
            )
        rows = np.isin(self.subject, wanted)
        return Windows(self.inertial[rows], self.skeleton[rows], self.action[rows], self.subject[rows])


def read_recordings(folder: Path) -> list[Recording]:
    """All recordings of a folder, by action, subject and repetition.

    Raises:
        SensorfuseError: there are none; a file's partner is missing; a file is unreadable or holds something else.
    """
    found = []
    for file in (folder / "Inertial").glob("*.mat"):
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise SensorfuseError(f"{file}: the name must be a<action>_s<subject>_t<repetition>_inertial.mat")
        found.append((tuple(int(x) for x in match.groups()), file))
    if not found:
        raise SensorfuseError(f"{folder}: no recordings; expected Inertial/a1_s1_t1_inertial.mat and so on in it")
    out = []
    for (action, subject, repetition), file in sorted(found):
        if not 1 <= action <= ACTIONS:
            raise SensorfuseError(f"{file}: action {action} is not one of 1 to {ACTIONS}")
        partner = folder / "Skeleton" / file.name.replace("_inertial", "_skeleton")
        if not partner.is_file():
            raise SensorfuseError(f"{file}: its skeleton {partner} is missing; copy it there, or move this file away")
        inertial = _read(file, "d_iner", ("T", 6))
        skeleton = _read(partner, "d_skel", (JOINTS, 3, "T")).transpose(2, 0, 1)
        inertial = inertial * np.array([GRAVITY_MPS2] * 3 + [np.pi / 180] * 3)
        out.append(Recording(action - 1, subject, repetition, inertial, skeleton))
    return out


def _read(file: Path, field: str, shape: tuple[int | str, ...]) -> NDArray[np.float64]:
    """The one array of a file; `"T"` in `shape` stands for any length."""
    try:
        content = loadmat(file)
    except Exception as error:  # scipy raises many kinds for a broken file
        raise SensorfuseError(f"{file}: not a readable MATLAB file ({error}); copy it again") from None
    if field not in content:
        held = ", ".join(k for k in content if not k.startswith("__")) or "nothing"
        raise SensorfuseError(f"{file}: no field {field!r}; it holds {held}")
    array = np.asarray(content[field])
    if array.ndim != len(shape) or any(isinstance(n, int) and n != m for n, m in zip(shape, array.shape, strict=True)):
        raise SensorfuseError(f"{file}: {field} has shape {array.shape}, expected ({', '.join(map(str, shape))})")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise SensorfuseError(f"{file}: {field} must hold finite numbers only")
    if array.shape[shape.index("T")] < SHORTEST:
        raise SensorfuseError(f"{file}: {field} has {array.shape[shape.index('T')]} samples, fewer than {SHORTEST}")
    return array.astype(np.float64)


def make_windows(recordings: Sequence[Recording]) -> Windows:
    """Recordings made ready to learn from."""
    inertial = [resample(inertial_vectors(r.inertial), INERTIAL_STEPS) for r in recordings]
    skeleton = [resample(placed_skeleton(r.skeleton), SKELETON_STEPS) for r in recordings]
    return Windows(
        np.stack(inertial).astype(np.float32),
        np.stack(skeleton).astype(np.float32),
        np.array([r.action for r in recordings], np.int64),
        np.array([r.subject for r in recordings], np.int64),
    )


def resample(x: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """A series (T, ...) at `steps` equal steps from its first sample to its last, by lines between its samples."""
    return read_at(x[None], np.linspace(0.0, 1.0, steps)[None])[0]


def read_at(series: NDArray[Scalar], u: NDArray[np.float64]) -> NDArray[Scalar]:
    """Series (B, T, ...) at places u (B, S), 0 the first sample and 1 the last, by lines between samples."""
    length = series.shape[1]
    at = np.clip(u, 0.0, 1.0) * (length - 1)
    low = np.minimum(at.astype(np.int64), length - 2)
    share = (at - low).astype(series.dtype).reshape(*u.shape, *(1,) * (series.ndim - 2))
    rows = np.arange(len(series))[:, None]
    before = series[rows, low]
    between: NDArray[Scalar] = before + share * (series[rows, low + 1] - before)
    return between


def placed_skeleton(skeleton: NDArray[np.float64]) -> NDArray[np.float64]:
    """A skeleton (T, 20, 3) about its mean hip, in lengths from hip to head."""
    about = skeleton - skeleton[:, HIP].mean(axis=0)
    size = float(np.linalg.norm(about[:, HEAD] - about[:, HIP], axis=-1).mean())
    return about / max(size, 1e-6)


def inertial_vectors(inertial: NDArray[np.float64], rate_hz: float = INERTIAL_RATE_HZ) -> NDArray[np.float64]:
    """What a worn IMU's readings (T, 6) say of its motion (T, 5, 3): in its own frame and in one that stays level.

    Angular rate is added up to the attitude relative to the first sample. A limb that begins and ends at rest does not
    accelerate on average, so the mean specific force in the first sample's frame points up: turned onto -x, where it is
    on a hanging limb, it makes the frame level, and heading is left as the sensor had it. Forces and
    accelerations in g, rates in rad/s.

    Velocity and path, sums of the acceleration, are not among them: with them, people left out were told worse.
    """
    force, rate = inertial[:, :3] / GRAVITY_MPS2, inertial[:, 3:]
    attitude = np.empty((len(force), 3, 3))
    attitude[0] = np.eye(3)
    steps = Rotation.from_rotvec(0.5 * (rate[1:] + rate[:-1]) / rate_hz).as_matrix()
    for k, step in enumerate(steps):
        attitude[k + 1] = attitude[k] @ step
    at_start = np.einsum("tij,tj->ti", attitude, force)
    up = at_start.mean(axis=0)
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    level = _least_turn(up, np.array([-1.0, 0.0, 0.0]))
    acceleration = (at_start - up) @ level.T
    upward = np.einsum("tji,j->ti", attitude, up)
    level_rate = np.einsum("tij,tj->ti", attitude, rate) @ level.T
    return np.stack([force, rate, upward, acceleration, level_rate], axis=1)


def _least_turn(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation by the least angle that takes unit vector a to b."""
    axis, cosine = np.cross(a, b), float(a @ b)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return np.eye(3) if cosine > 0 else np.diag([-1.0, -1.0, 1.0])
    turn: NDArray[np.float64] = Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()
    return turn
