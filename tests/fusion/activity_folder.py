"""A folder as UTD-MHAD's, of made-up actions: people swing an arm, faster by action, and each in a way of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from sensorfuse.fusion.training.activity_data import Recording, Windows, make_windows


def swing(action: int, subject: int, repetition: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`d_iner` (T, 6) and `d_skel` (20, 3, K)."""
    rng = np.random.default_rng([action, subject, repetition])
    samples, frames = (int(rng.integers(90, 130)), int(rng.integers(40, 60)))
    angle, turn = (
        np.sin(2 * np.pi * (1 + action) * np.linspace(0, 1, n)) * (1 + 0.05 * subject) for n in (samples, frames)
    )
    inertial = np.zeros((samples, 6))
    inertial[:, 0], inertial[:, 1], inertial[:, 5] = -np.cos(angle), np.sin(angle), np.gradient(angle) * 50 * 57.3
    inertial += rng.normal(0, 0.02, inertial.shape)
    skeleton = np.zeros((20, 3, frames))
    skeleton[:, 1] = np.linspace(0.5, -0.9, 20)[:, None]
    skeleton[:, 2] = 2.5 + 0.1 * subject
    skeleton[8:12, 0] += 0.6 * np.sin(turn)
    skeleton[8:12, 1] -= 0.6 * np.cos(turn)
    return inertial, skeleton + rng.normal(0, 0.005, skeleton.shape)


def write_folder(folder: Path, actions: Sequence[int], subjects: Sequence[int], repetitions: int = 1) -> Path:
    """Actions, subjects and repetitions count from 1, as in the files' names."""
    for kind in ("Inertial", "Skeleton"):
        (folder / kind).mkdir(parents=True)
    for a in actions:
        for s in subjects:
            for t in range(1, repetitions + 1):
                inertial, skeleton = swing(a, s, t)
                savemat(folder / "Inertial" / f"a{a}_s{s}_t{t}_inertial.mat", {"d_iner": inertial})
                savemat(folder / "Skeleton" / f"a{a}_s{s}_t{t}_skeleton.mat", {"d_skel": skeleton})
    return folder


def draw_windows(actions: Sequence[int], subjects: Sequence[int], repetitions: int = 1) -> Windows:
    """The same without a folder; actions from 0."""
    recordings = []
    for a in actions:
        for s in subjects:
            for t in range(repetitions):
                inertial, skeleton = swing(a, s, t)
                inertial = inertial * np.array([9.81] * 3 + [np.pi / 180] * 3)
                recordings.append(Recording(a, s, t, inertial, skeleton.transpose(2, 0, 1)))
    return make_windows(recordings)
