"""The bird's-eye-view grid that camera, LiDAR and radar features share: base_link axes at t_ref.

Maps are stored `[..., X, Y]`: the first grid axis runs along base_link x (forward), the second along y (left).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.messages import MODALITIES, Modality


@dataclass(frozen=True)
class BevGrid:
    """`cells` x `cells` squares of `cell_m` metres, centred on base_link."""

    cells: int = 64
    cell_m: float = 1.25

    @property
    def half_m(self) -> float:
        """Distance from base_link to each edge of the grid."""
        return 0.5 * self.cells * self.cell_m

    def index(self, xy_m: ArrayLike) -> NDArray[np.float64]:
        """Fractional cell coordinates (..., 2) of positions (..., 2) in metres; the centre of cell (i, j) is (i, j)."""
        return (np.asarray(xy_m, dtype=np.float64) + self.half_m) / self.cell_m - 0.5

    def metres(self, index: ArrayLike) -> NDArray[np.float64]:
        """Positions (..., 2) in metres of fractional cell coordinates (..., 2): the inverse of `index`."""
        return (np.asarray(index, dtype=np.float64) + 0.5) * self.cell_m - self.half_m

    def contains(self, xy_m: ArrayLike) -> NDArray[np.bool_]:
        """Whether positions (..., 2) lie on the grid."""
        xy = np.asarray(xy_m, dtype=np.float64)
        return np.asarray((np.abs(xy) < self.half_m).all(axis=-1))

    def centres(self) -> NDArray[np.float64]:
        """Cell centres (cells, cells, 2) in metres."""
        axis = (np.arange(self.cells) + 0.5) * self.cell_m - self.half_m
        return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)

    def finer(self, factor: int) -> BevGrid:
        """The same square cut into cells that are `factor` times smaller."""
        return BevGrid(self.cells * factor, self.cell_m / factor)


GRID = BevGrid()
"""The grid of the shipped weights: 80 m x 80 m around the robot."""
FEATURES = 24
"""Channels of every encoder's features, maps and vectors."""
SPATIAL: tuple[Modality, ...] = ("camera", "lidar", "radar")
"""Modalities whose features are maps on the grid; those of the others are vectors."""


def feature_shape(modality: Modality, channels: int = FEATURES, cells: int = GRID.cells) -> tuple[int, ...]:
    """Of a modality's features: a map (C, X, Y), or a vector (C,)."""
    return (channels, cells, cells) if modality in SPATIAL else (channels,)


FEATURE_SHAPES: dict[Modality, tuple[int, ...]] = {m: feature_shape(m) for m in MODALITIES}
"""What the encoders give and the fusion networks take."""
LIDAR_GRID = GRID.finer(2)
"""Input resolution of the LiDAR encoder, which halves it once."""
