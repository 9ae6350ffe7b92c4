"""What is read out of the fused tokens: objects per cell, the robot's own motion, and sounds. Torch; training only.

Objects are the centre heatmap of CenterPoint (Yin, Zhou, Kraehenbuehl, CVPR 2021; Zhou, Wang, Kraehenbuehl 2019), one
map per group, with box values regressed at the centre's cell. Standard deviations are learned by likelihood (Kendall
and Gal, 2017).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.decode import BOX_CHANNELS, GROUPS
from sensorfuse.fusion.encoders import WIDE, conv
from sensorfuse.messages import SOUND_CLASSES

PRIOR = -4.0
"""Heatmap bias at the start: nearly every cell holds nothing."""


class DetectionHead(nn.Module):
    """Fused tokens on the grid (B, D, X, Y) -> heatmap logits (B, 3, X, Y) and box values (B, 17, X, Y)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = conv(width, WIDE, stride=2)
        self.block = conv(WIDE, WIDE)
        self.up = conv(WIDE, width, kernel=1)
        self.out = conv(width, width)
        self.heat = nn.Conv2d(width, len(GROUPS), 1)
        self.box = nn.Conv2d(width, BOX_CHANNELS, 1)
        nn.init.constant_(self.heat.bias, PRIOR)  # type: ignore[arg-type]

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        coarse = self.down(fused)
        coarse = coarse + self.block(coarse)
        up = F.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        out = self.out(fused + up)
        return self.heat(out), self.box(out)


class SceneHead(nn.Module):
    """The scene's fused vector (B, D) -> own motion (B, 4) and sounds (B, 3, 3).

    Motion: vx / 10, yaw rate, and the log standard deviations of both. Sounds, per class: logit, and sine and cosine of
    the azimuth before normalisation.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(width, 64), nn.ReLU())
        self.motion = nn.Linear(64, 4)
        self.sound = nn.Linear(64, 3 * len(SOUND_CLASSES))

    def forward(self, scene: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(scene)
        motion = self.motion(hidden)
        motion = torch.cat([motion[:, :2], motion[:, 2:].clamp(-5.0, 3.0)], dim=1)
        return motion, self.sound(hidden).reshape(-1, len(SOUND_CLASSES), 3)
