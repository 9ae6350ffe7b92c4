"""What all imputers share: scaled features in, a Gaussian per number of an absent modality out, and how they are
judged. Torch; training and export only.

Inside, features are counted from what is typical of their place (the mean over ticks, at half resolution), in standard
deviations of their channel about it. A method predicts means and variances of all modalities; only those of absent ones
are used. One that knows nothing says 0, which is the typical. Features are what a ReLU left: less than 0 becomes 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.messages import MODALITIES

MAPS = len(SPATIAL)
"""The first so many of `MODALITIES` are maps (B, C, X, Y), the others vectors (B, C)."""
LEAST_VARIANCE = 1e-3
"""Of a scaled feature; a channel that is always 0 would have none."""
LOG_VARIANCE = (-6.9, 2.0)


@dataclass
class Typical:
    """What features are like: means of maps at half resolution (3, C, X / 2, Y / 2) and of vectors (2, C), and standard
    deviations about them (M, C).
    """

    maps: Tensor
    vectors: Tensor
    scale: Tensor

    def of_maps(self) -> Tensor:
        """(3, C, X, Y)."""
        return F.interpolate(self.maps, scale_factor=2.0, mode="bilinear", align_corners=False)


class FeatureImputer(nn.Module):
    """Base of the methods. Of `scale` (M, C) no deviation is less than 1e-3."""

    typical_maps: Tensor
    typical_vectors: Tensor
    scale: Tensor
    inflation: Tensor

    def __init__(self, typical: Typical) -> None:
        super().__init__()
        self.register_buffer("typical_maps", typical.maps.clone())
        self.register_buffer("typical_vectors", typical.vectors.clone())
        self.register_buffer("scale", typical.scale.clamp_min(1e-3))
        self.register_buffer("inflation", torch.ones(len(typical.scale)))

    def predict(self, features: list[Tensor], present: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Means and variances of every modality's scaled features, from those of the present ones.

        `features` are scaled, and 0 where `present` (B, M) is.
        """
        raise NotImplementedError

    def loss(self, features: list[Tensor], present: Tensor, keep: Tensor) -> Tensor:
        """What training lowers: the negative log likelihood of those that are present but not kept (B, M)."""
        seen = present * keep
        scaled = self.scaled(features, present)
        means, variances = self.predict(self.scaled(features, seen), seen)
        return negative_log_likelihood(scaled, means, variances, present * (1 - keep))

    def scaled(self, features: list[Tensor], present: Tensor) -> list[Tensor]:
        """Deviations from the typical over `scale`; 0 for the absent, whatever their values are."""
        out = []
        for m, (x, (usual, scale)) in enumerate(zip(features, self._units(), strict=True)):
            there = present[:, m].reshape(-1, *[1] * (x.dim() - 1)) > 0.5
            out.append(torch.where(there, (x - usual) / scale, torch.zeros(())))
        return out

    def _units(self) -> list[tuple[Tensor, Tensor]]:
        """Per modality the typical features (1, C, ...) and their deviations (1, C, ...)."""
        maps = Typical(self.typical_maps, self.typical_vectors, self.scale).of_maps()
        return [
            (maps[m : m + 1], self.scale[m].reshape(1, -1, 1, 1))
            if m < MAPS
            else (self.typical_vectors[m - MAPS : m - MAPS + 1], self.scale[m : m + 1])
            for m in range(len(self.scale))
        ]

    def forward(
        self, camera: Tensor, lidar: Tensor, radar: Tensor, imu: Tensor, audio: Tensor, present: Tensor
    ) -> tuple[Tensor, ...]:
        """Features of all five, those of the absent filled in; then the variances of all five, 0 of the present."""
        given = [camera, lidar, radar, imu, audio]
        means, variances = self.predict(self.scaled(given, present), present)
        filled, spread = [], []
        for m, (x, (usual, scale)) in enumerate(zip(given, self._units(), strict=True)):
            there = present[:, m].reshape(-1, *[1] * (x.dim() - 1)) > 0.5
            filled.append(torch.where(there, x, (means[m] * scale + usual).clamp_min(0.0)))
            variance = variances[m] * self.inflation[m] * scale.square()
            spread.append(torch.where(there, torch.zeros(()), variance.expand_as(x)))
        return (*filled, *spread)

    @torch.no_grad()
    def calibrate(self, features: list[Tensor], present: Tensor) -> None:
        """Make the variances right on average, on features that were not trained on: with each modality gone in turn,
        its squared error over its variance is 1 in the mean.
        """
        for m in range(len(self.scale)):
            rows = present[:, m] > 0.5
            if not rows.any():
                continue
            error, variance = self.errors(features, present, m)
            self.inflation[m] = float((error.square() / variance).mean())

    @torch.no_grad()
    def errors(self, features: list[Tensor], present: Tensor, gone: int) -> tuple[Tensor, Tensor]:
        """With modality `gone` taken away: errors of its scaled features, and their variances, of the rows that have
        it.
        """
        rows = present[:, gone] > 0.5
        kept = [x[rows] for x in features]
        seen = present[rows].clone()
        target = self.scaled(kept, seen)[gone]
        seen[:, gone] = 0
        means, variances = self.predict(self.scaled(kept, seen), seen)
        usual, scale = self._units()[gone]
        mean = torch.maximum(means[gone], -usual / scale)
        return target - mean, (variances[gone] * self.inflation[gone]).expand_as(target)


def negative_log_likelihood(
    targets: list[Tensor], means: list[Tensor], variances: list[Tensor], wanted: Tensor
) -> Tensor:
    """Of the modalities that are wanted (B, M): mean over numbers within a modality, then over modalities; without the
    constant.
    """
    total = targets[0].new_zeros(())
    for m, target in enumerate(targets):
        variance = variances[m].clamp_min(LEAST_VARIANCE)
        each = 0.5 * ((target - means[m]).square() / variance + variance.log())
        each = each.expand_as(target).flatten(1).mean(dim=1)
        total = total + torch.where(wanted[:, m] > 0.5, each, torch.zeros(())).sum()
    return total / wanted.sum().clamp_min(1.0)


def split(both: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances from a head's output with means and log variances side by side along axis 1."""
    mean, log_variance = both.chunk(2, dim=1)
    return mean, torch.exp(log_variance.clamp(*LOG_VARIANCE))


def pooled(maps: Tensor) -> Tensor:
    """Mean and maximum over places: (B, C, X, Y) -> (B, 2C)."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


def example_inputs(scale: Tensor, cells: int, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of `forward`, by name: features of these deviations (M, C)."""
    rng = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {}
    for m, name in enumerate(MODALITIES):
        shape = (batch, scale.shape[1], cells, cells) if m < MAPS else (batch, scale.shape[1])
        unit = torch.randn(shape, generator=rng).clamp_min(0.0)
        out[name] = unit * scale[m].reshape(-1, *[1] * (len(shape) - 2))
    out["present"] = (torch.rand((batch, len(MODALITIES)), generator=rng) > 0.4).float()
    out["present"][:, 1] = 1.0
    return out
