"""Frozen encoders' features of whole ticks, held in memory: what imputers learn from. Torch; training only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sensorfuse.fusion.imputation.feature_imputer import MAPS, Typical
from sensorfuse.fusion.training.driving import Encoders, load_encoders
from sensorfuse.fusion.training.examples import Examples
from sensorfuse.messages import MODALITIES


@dataclass
class Features:
    """`values[m]`: maps (T, C, X, Y) in half precision, vectors (T, C); `present` (T, M)."""

    values: list[Tensor]
    present: Tensor

    def __len__(self) -> int:
        return len(self.present)

    def batch(self, index: NDArray[np.int64]) -> tuple[list[Tensor], Tensor]:
        """Ticks `index` (B,) in single precision, and who is there."""
        rows = torch.from_numpy(index)
        return [x[rows].float() for x in self.values], self.present[rows]

    def parted(self, last: int) -> tuple[Features, Features]:
        """All but the last ticks, and those."""
        cut = len(self) - last
        return (
            Features([x[:cut] for x in self.values], self.present[:cut]),
            Features([x[cut:] for x in self.values], self.present[cut:]),
        )

    def typical(self) -> Typical:
        """Means by place, and deviations about them."""
        means, deviations = [], []
        for m, values in enumerate(self.values):
            mean, square = torch.zeros(values.shape[1:]), torch.zeros(values.shape[1:])
            for one in values:  # one tick at a time: all at once would not fit in single precision
                mean, square = mean + one.float() / len(values), square + one.float().square() / len(values)
            kept, usual = mean, mean
            if m < MAPS:
                kept = F.avg_pool2d(mean[None], 2)[0]
                usual = F.interpolate(kept[None], scale_factor=2.0, mode="bilinear", align_corners=False)[0]
            about = square - 2 * usual * mean + usual.square()
            deviations.append(about.reshape(len(about), -1).mean(dim=1))
            means.append(kept)
        scale = torch.stack(deviations).clamp_min(0.0).sqrt()
        return Typical(torch.stack(means[:MAPS]), torch.stack(means[MAPS:]), scale)


def encode_shards(shards: Sequence[Path], encoders: Path, batch: int = 10) -> Features:
    """Features of every tick of some shards (see `training/dataset.py`), moved to their ticks.

    Raises:
        SensorfuseError: the encoders can't be read.
    """
    model = Encoders().eval()
    load_encoders(model, encoders)
    parts: list[list[Tensor]] = [[] for _ in MODALITIES]
    present = []
    with torch.no_grad():
        for shard in shards:
            examples = Examples([shard])
            for first in range(0, len(examples), batch):
                index = np.arange(first, min(first + batch, len(examples)))
                everyone = np.ones((len(index), len(MODALITIES)), np.float32)
                one = examples.batch(index, np.zeros(len(index), bool), everyone)
                for m, x in enumerate(model(one)):
                    parts[m].append(x.half() if m < MAPS else x)
                present.append(one.present)
    return Features([torch.cat(x) for x in parts], torch.cat(present))
