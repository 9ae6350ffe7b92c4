"""Features of whole ticks, one row each, in an array or in a file that is read as needed. Torch; training only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensorfuse.fusion.grid import FEATURES, GRID, feature_shape
from sensorfuse.messages import MODALITIES


def row_width(channels: int = FEATURES, cells: int = GRID.cells) -> int:
    """Numbers in a row: maps (C, X, Y) and vectors (C,), side by side in the order of `MODALITIES`."""
    return sum(int(np.prod(feature_shape(m, channels, cells))) for m in MODALITIES)


@dataclass(frozen=True)
class FeatureRows:
    """`rows` (N, `row_width`) in half precision; `present` (N, 5), who was there."""

    rows: NDArray[np.float16]
    present: Tensor
    channels: int = FEATURES
    cells: int = GRID.cells

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: NDArray[np.int64]) -> tuple[list[Tensor], Tensor]:
        """Maps and vectors of the ticks `index` (B,) in single precision, and who is there (B, 5)."""
        rows = torch.from_numpy(np.asarray(self.rows[index])).float()
        shapes = [feature_shape(m, self.channels, self.cells) for m in MODALITIES]
        parts = rows.split([int(np.prod(shape)) for shape in shapes], dim=1)
        values = [x.reshape(len(rows), *shape) for x, shape in zip(parts, shapes, strict=True)]
        return values, self.present[torch.from_numpy(index)]
