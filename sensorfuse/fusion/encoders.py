"""The encoders: camera, LiDAR and radar to feature maps on the common grid, IMU and audio to vectors; and what makes
one map of two LiDAR sweeps. Torch; training only.

All outputs are non-negative (they end in ReLU): zero means no evidence, so the maps of several sensors of one modality
merge by their maximum. Shapes: B batch, C = 24 features, X x Y = 64 x 64 cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.bev import LIDAR_CHANNELS, RADAR_CHANNELS
from sensorfuse.fusion.grid import FEATURES, GRID
from sensorfuse.fusion.lift import HEIGHTS_M
from sensorfuse.fusion.preprocess import IMU_FEATURES
from sensorfuse.fusion.sound import SOUND_FEATURES

WIDE = 48


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation (folded into it at export), ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Place(nn.Module):
    """Appends where each cell lies: x, y and distance, in units of the grid's half side. (B, C, X, Y) -> (B, C + 3, X,
    Y).
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        axis = (torch.arange(cells) + 0.5) * (2.0 / cells) - 1.0
        x, y = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("place", torch.stack([x, y, torch.sqrt(x * x + y * y)])[None], persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        place: Tensor = self.place  # type: ignore[assignment]
        return torch.cat([maps, place.expand(maps.shape[0], -1, -1, -1)], dim=1)


class Body(nn.Module):
    """A small U: context at half resolution, added back to the full one. (B, I, X, Y) -> (B, C, X, Y)."""

    def __init__(self, inputs: int, outputs: int, blocks: int = 2, kernel: int = 3) -> None:
        super().__init__()
        self.fine = conv(inputs, outputs, kernel)
        self.down = conv(outputs, WIDE, stride=2)
        self.blocks = nn.ModuleList(conv(WIDE, WIDE) for _ in range(blocks))
        self.up = conv(WIDE, outputs, kernel=1)
        self.out = conv(outputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        fine = self.fine(maps)
        coarse = self.down(fine)
        for block in self.blocks:
            coarse = coarse + block(coarse)
        up = F.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        return self.out(fine + up)


class LidarEncoder(nn.Module):
    """Pillar statistics of one sweep (B, 6, 128, 128) -> (B, C, 64, 64). A cell's four fine cells become channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), conv(4 * LIDAR_CHANNELS, 32))
        self.place = Place(GRID.cells)
        self.body = Body(32 + 3, FEATURES)

    def forward(self, bev: Tensor) -> Tensor:
        return self.body(self.place(self.stem(bev)))


class SweepPair(nn.Module):
    """Maps of a sweep and of the one before it, both moved to the tick (B, C, 64, 64), and whether there is one before
    (B, 1) -> one map (B, C, 64, 64). What stands still lies twice in the same place; what moves does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.meet = conv(2 * FEATURES + 1, FEATURES)
        self.change = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, now: Tensor, before: Tensor, has_before: Tensor) -> Tensor:
        plane = has_before[:, :, None, None].expand(-1, -1, GRID.cells, GRID.cells)
        return F.relu(now + self.change(self.meet(torch.cat([now, before, plane], dim=1))))


class RadarEncoder(nn.Module):
    """Scattered returns (B, 6, 64, 64) -> (B, C, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place(GRID.cells)
        self.body = Body(RADAR_CHANNELS + 3, FEATURES, blocks=1)

    def forward(self, bev: Tensor) -> Tensor:
        return self.body(self.place(bev))


class CameraEncoder(nn.Module):
    """Picture (B, 3, 128, 240) and sampling grid (B, 2 * 64, 64, 2) -> (B, C, 64, 64).

    Picture features at half the resolution, with context from a quarter of it, are read where the ground, and 1 m above
    it, of each cell would appear (inverse perspective mapping): far cells lie a fraction of a picture row apart.
    Whether the cell is in the picture is one more channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(conv(3, 16, 5, 2), conv(16, FEATURES))
        self.coarse = nn.Sequential(conv(FEATURES, 32, stride=2), conv(32, 32), conv(32, FEATURES))
        self.place = Place(GRID.cells)
        self.body = Body(len(HEIGHTS_M) * (FEATURES + 1) + 3, FEATURES, kernel=1)

    def forward(self, image: Tensor, lift: Tensor) -> Tensor:
        seen = (lift.abs().amax(dim=-1) <= 1.0).to(image.dtype)[:, None]  # (B, 1, K * X, Y)
        fine = self.fine(image)
        features = fine + F.interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        lifted = F.grid_sample(features, lift, mode="bilinear", padding_mode="zeros", align_corners=False)
        parts = []
        for k in range(len(HEIGHTS_M)):
            rows = slice(k * GRID.cells, (k + 1) * GRID.cells)
            parts += [lifted[:, :, rows], seen[:, :, rows]]
        return self.body(self.place(torch.cat(parts, dim=1)))


class VectorEncoder(nn.Module):
    """Features of an IMU window or a sound block (B, I) -> (B, C)."""

    def __init__(self, inputs: int, hidden: int = 64) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(inputs)
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, FEATURES),
            nn.ReLU(),
        )

    def forward(self, vector: Tensor) -> Tensor:
        return self.layers(self.normalise(vector))


class ImuEncoder(VectorEncoder):
    """Window statistics (B, 14) -> (B, C)."""

    def __init__(self) -> None:
        super().__init__(IMU_FEATURES)

    def forward(self, window: Tensor) -> Tensor:
        return super().forward(window)


class AudioEncoder(VectorEncoder):
    """Band levels, tonality and steered power (B, 118) -> (B, C)."""

    def __init__(self) -> None:
        super().__init__(SOUND_FEATURES, hidden=96)

    def forward(self, block: Tensor) -> Tensor:
        return super().forward(block)


ENCODERS: dict[str, type[nn.Module]] = {
    "camera": CameraEncoder,
    "lidar": LidarEncoder,
    "radar": RadarEncoder,
    "imu": ImuEncoder,
    "audio": AudioEncoder,
}
