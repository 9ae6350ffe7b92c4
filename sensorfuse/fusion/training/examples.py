"""Training examples held in memory: small arrays per tick, and batches of them with mirroring and dropout. Torch;
training only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensorfuse.fusion.sound import AZIMUTHS, BANDS
from sensorfuse.fusion.training.losses import Targets, make_targets
from sensorfuse.messages import MODALITIES, SOUND_CLASSES, Detections, Modality, SoundEvent

DENSE = ("camera", "lidar", "radar", "imu", "audio", "present", "warp", "motion")
RAGGED = ("class_id", "center", "size", "yaw", "velocity", "visible")


@dataclass
class Batch:
    """Encoder inputs by modality, how to move each map, who is there, and what is true."""

    inputs: dict[Modality, tuple[Tensor, ...]]
    warp: Tensor  # (B, 3, 4) [cos, sin, tx, ty] of camera, lidar, radar
    present: Tensor  # (B, 5)
    targets: Targets


class Examples:
    """All ticks of some shards (see `dataset.py`), concatenated. Raises SensorfuseError through `load`."""

    def __init__(self, shards: Sequence[Path]) -> None:
        parts = [dict(np.load(path)) for path in shards]
        self.dense: dict[str, NDArray[np.generic]] = {n: np.concatenate([p[n] for p in parts]) for n in DENSE}
        self.ragged = {n: np.concatenate([p[n] for p in parts]) for n in RAGGED}
        counts = np.concatenate([p["count"] for p in parts])
        self.start = np.concatenate([[0], np.cumsum(counts)])
        self.sounds: NDArray[np.float32] = np.concatenate([p["sounds"] for p in parts])  # (T, 3, 2) heard, azimuth
        self.lift: NDArray[np.float32] = parts[0]["lift"]

    def __len__(self) -> int:
        return len(self.start) - 1

    def objects(self, n: int) -> tuple[Detections, NDArray[np.bool_]]:
        """The true objects of tick `n`, and which of them a sensor could see."""
        rows = {k: v[self.start[n] : self.start[n + 1]] for k, v in self.ragged.items()}
        count = len(rows["yaw"])
        truth = Detections(
            rows["class_id"],
            np.ones(count, np.float32),
            rows["center"],
            rows["size"],
            rows["yaw"],
            rows["velocity"],
            np.zeros((count, 4, 4)),
            np.arange(count),
        )
        return truth, rows["visible"]

    def events(self, n: int) -> list[SoundEvent]:
        heard = self.sounds[n]
        return [SoundEvent(name, float(heard[k, 1]), 1.0) for k, name in enumerate(SOUND_CLASSES) if heard[k, 0] > 0]

    def batch(self, index: NDArray[np.int64], mirror: NDArray[np.bool_], keep: NDArray[np.float32]) -> Batch:
        """The ticks `index` (B,), those in `mirror` reflected left to right, modalities cut to `keep` (B, 5)."""
        flip = torch.from_numpy(mirror)

        def tensor(name: str) -> Tensor:
            return torch.from_numpy(np.asarray(self.dense[name][index])).float()

        def mirrored(x: Tensor) -> Tensor:
            return torch.where(flip.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)

        sign = torch.where(flip, -1.0, 1.0)
        lift = torch.from_numpy(self.lift)[None].expand(len(index), -1, -1, -1)
        lift = torch.where(flip[:, None, None, None], lift.flip(2) * torch.tensor([-1.0, 1.0]), lift)
        imu = tensor("imu")
        imu[..., [0, 2, 4]] *= sign[:, None, None]  # roll and yaw rate, lateral force
        audio = tensor("audio")
        steered = slice(2 * BANDS + 1, 2 * BANDS + 1 + AZIMUTHS)
        audio[..., steered] = mirrored(audio[..., steered])
        warp = tensor("warp")
        warp[..., [1, 3]] *= sign[:, None, None]
        present = tensor("present") * torch.from_numpy(keep)
        motion = np.array(self.dense["motion"][index], dtype=np.float32)
        motion[:, 1] *= sign.numpy()

        truths, visible, sounds = [], [], []
        for n, reflect in zip(index, mirror, strict=True):
            truth, seen = self.objects(int(n))
            events = self.events(int(n))
            if reflect:
                flat = np.array([1.0, -1.0])
                truth.center = truth.center * [1.0, -1.0, 1.0]
                truth.velocity, truth.yaw = truth.velocity * flat, -truth.yaw
                events = [SoundEvent(e.name, -e.azimuth_rad, e.score) for e in events]
            truths.append(truth)
            visible.append(seen)
            sounds.append(events)
        inputs: dict[Modality, tuple[Tensor, ...]] = {
            "camera": (mirrored(tensor("camera")) / 255, lift.contiguous()),
            "lidar": (mirrored(tensor("lidar")),),
            "radar": (mirrored(tensor("radar")),),
            "imu": (imu,),
            "audio": (audio,),
        }
        return Batch(inputs, warp, present, make_targets(truths, visible, motion, sounds))


def draw_dropout(rng: np.random.Generator, count: int, rates: Sequence[float]) -> NDArray[np.float32]:
    """Presence (count, 5) with each modality absent at its own rate (in the order of `MODALITIES`), never all."""
    keep = rng.random((count, len(MODALITIES))) >= np.asarray(rates)
    while (empty := ~keep.any(axis=1)).any():
        keep[empty] = rng.random((int(empty.sum()), len(MODALITIES))) >= np.asarray(rates)
    return keep.astype(np.float32)
