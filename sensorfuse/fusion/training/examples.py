"""Training examples held in memory: small arrays per tick, and batches of them with mirroring and dropout. Torch;
training only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensorfuse.fusion.sound import AZIMUTHS, BANDS
from sensorfuse.fusion.training.dataset import SWEEP_BEFORE
from sensorfuse.fusion.training.losses import Targets, make_targets
from sensorfuse.messages import SOUND_CLASSES, Detections, SoundEvent

RAGGED = ("class_id", "center", "size", "yaw", "velocity", "visible")


@dataclass
class Batch:
    """Encoder inputs by modality, how to move each map, who is there, and what is true."""

    inputs: dict[str, tuple[Tensor, ...]]  # of each modality, and the sweep before the LiDAR's
    warp: Tensor  # (B, 4, 4) [cos, sin, tx, ty] of `dataset.MAPS`
    present: Tensor  # (B, 5)
    has_before: Tensor  # (B,) 1 where there is a sweep before
    targets: Targets

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        inputs = {name: tuple(x.to(device) for x in arrays) for name, arrays in self.inputs.items()}
        return Batch(
            inputs,
            self.warp.to(device),
            self.present.to(device),
            self.has_before.to(device),
            self.targets.to(device),
        )


class Examples:
    """All ticks of some shards (see `dataset.py`), concatenated; `run_ticks` that follow one another at a time. What
    sensors saw is read when it is first asked for: training on kept features needs the truth alone.
    """

    def __init__(self, shards: Sequence[Path], run_ticks: int = 1) -> None:
        self.run_ticks = run_ticks
        self._shards = list(shards)
        self._dense: dict[str, NDArray[np.generic]] = {}
        parts = [_read(path, (*RAGGED, "count", "sounds", "lift")) for path in shards]
        self.ragged = {n: np.concatenate([p[n] for p in parts]) for n in RAGGED}
        counts = np.concatenate([p["count"] for p in parts])
        self.start = np.concatenate([[0], np.cumsum(counts)])
        self.sounds: NDArray[np.float32] = np.concatenate([p["sounds"] for p in parts])  # (T, 3, 2) heard, azimuth
        self.lift: NDArray[np.float32] = parts[0]["lift"]

    def __len__(self) -> int:
        return len(self.start) - 1

    def dense(self, name: str) -> NDArray[np.generic]:
        """An array of the shards with a row per tick, of all ticks."""
        if name not in self._dense:
            self._dense[name] = np.concatenate([_read(path, (name,))[name] for path in self._shards])
        return self._dense[name]

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

        def mirrored(x: Tensor) -> Tensor:
            return torch.where(flip.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)

        sign = torch.where(flip, -1.0, 1.0)
        lift = torch.from_numpy(self.lift)[None].expand(len(index), -1, -1, -1)
        lift = torch.where(flip[:, None, None, None], lift.flip(2) * torch.tensor([-1.0, 1.0]), lift)
        imu = self._tensor("imu", index)
        imu[..., [0, 2, 4]] *= sign[:, None, None]  # roll and yaw rate, lateral force
        audio = self._tensor("audio", index)
        steered = slice(2 * BANDS + 1, 2 * BANDS + 1 + AZIMUTHS)
        audio[..., steered] = mirrored(audio[..., steered])
        warp = self._tensor("warp", index)
        warp[..., [1, 3]] *= sign[:, None, None]
        inputs: dict[str, tuple[Tensor, ...]] = {
            "camera": (mirrored(self._tensor("camera", index)) / 255, lift.contiguous()),
            "imu": (imu,),
            "audio": (audio,),
        }
        inputs |= {name: (mirrored(self._tensor(name, index)),) for name in ("lidar", SWEEP_BEFORE, "radar")}
        present = self.present(index) * torch.from_numpy(keep)
        return Batch(inputs, warp, present, torch.ones(len(index)), self.targets(index, mirror))

    def present(self, index: NDArray[np.int64]) -> Tensor:
        """Which modalities the ticks have (B, 5)."""
        return self._tensor("present", index)

    def targets(self, index: NDArray[np.int64], mirror: NDArray[np.bool_]) -> Targets:
        """What is true at the ticks."""
        motion = np.array(self.dense("motion")[index], dtype=np.float32)
        motion[:, 1] *= np.where(mirror, -1, 1)
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
        return make_targets(truths, visible, motion, sounds)

    def _tensor(self, name: str, index: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.asarray(self.dense(name)[index])).float()


def _read(shard: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    with np.load(shard, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names}
