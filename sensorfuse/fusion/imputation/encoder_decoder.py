"""Imputing by a masked joint autoencoder: one code of all that is present, from which everything is told. Torch.

Translation between modalities by encoder and decoder (Baltrusaitis, Ahuja, Morency, TPAMI 2019), for every subset by
one network: in training, random modalities are taken away and have to be told from the others (as masked autoencoders:
He et al., CVPR 2022). Each number gets a mean and a log variance (Kendall and Gal, NeurIPS 2017).

    z = U( sum_m  p_m P_m x_m + (1 - p_m) t_m  , place )       U a small U-shaped network over the grid
    x_b ~ N(mu_b(z), exp s_b(z))

Vectors are heard at every cell, and told from the mean and the maximum of z.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.imputation.feature_imputer import MAPS, FeatureImputer, Typical, pooled, split

WIDE = 48


class EncoderDecoderImputer(FeatureImputer):
    """`width` is that of the joint code at every cell."""

    def __init__(self, typical: Typical, width: int = 32) -> None:
        super().__init__(typical)
        count, channels = self.scale.shape
        self.embed = nn.ModuleList(
            nn.Conv2d(channels, width, 1) if m < MAPS else nn.Linear(channels, width) for m in range(count)
        )
        self.missing = nn.Parameter(0.02 * torch.randn(count, width))
        self.place = nn.Conv2d(3, width, 1)
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, WIDE, 3, stride=2, padding=1)
        self.block = nn.Conv2d(WIDE, WIDE, 3, padding=1)
        self.up = nn.Conv2d(WIDE, width, 1)
        self.joined = nn.Conv2d(width, width, 3, padding=1)
        self.heads = nn.ModuleList(
            nn.Conv2d(width, 2 * channels, 1) if m < MAPS else nn.Linear(2 * width, 2 * channels) for m in range(count)
        )
        for head in self.heads.parameters():
            nn.init.zeros_(head)  # what is typical, to begin with

    def predict(self, features: list[Tensor], present: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        code = self.place(_places(features[0]))
        for m, (embed, x) in enumerate(zip(self.embed, features, strict=True)):
            there = present[:, m, None, None, None]
            told = embed(x) if m < MAPS else embed(x)[:, :, None, None]
            code = code + there * told + (1 - there) * self.missing[m][None, :, None, None]
        fine = F.relu(self.fine(F.relu(code)))
        coarse = F.relu(self.down(fine))
        coarse = coarse + F.relu(self.block(coarse))
        code = F.relu(self.joined(fine + F.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")))
        scene = pooled(code)
        told = [split(head(code if m < MAPS else scene)) for m, head in enumerate(self.heads)]
        return [mean for mean, _ in told], [variance for _, variance in told]


def _places(maps: Tensor) -> Tensor:
    """Where each cell lies: x, y and distance in half sides of the grid, (1, 3, X, Y)."""
    axes = [(torch.arange(n, dtype=maps.dtype, device=maps.device) + 0.5) * (2.0 / n) - 1.0 for n in maps.shape[2:]]
    x, y = torch.meshgrid(axes[0], axes[1], indexing="ij")
    return torch.stack([x, y, torch.sqrt(x * x + y * y)])[None]
