"""Batch normalisation of the tokens of one modality, by the samples that have it. Torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOMENTUM = 0.1
EPSILON = 1e-5


class PresentNorm(nn.Module):
    """Per feature: (x - mean) / deviation * `scale` + `shift`; statistics of present samples, running ones in eval.

    Batch normalisation over everything would take up what stands in for the absent. A training batch in which nobody
    has the modality is normalised by the running statistics and leaves them alone.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor, here: Tensor) -> Tensor:
        """Tokens (B, N, C) and whether each sample has them, (B,) 1 or 0 -> (B, N, C)."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = self._statistics(x, here)
        gain = self.scale * torch.rsqrt(variance + EPSILON)
        return x * gain + (self.shift - mean * gain)

    def _statistics(self, x: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        share = here[:, None, None] / (here.sum() * x.shape[1]).clamp_min(1.0)
        mean = (x * share).sum(dim=(0, 1))
        variance = ((x - mean).square() * share).sum(dim=(0, 1))
        anyone = here.sum() > 0
        mean = torch.where(anyone, mean, self.running_mean)
        variance = torch.where(anyone, variance, self.running_var)
        with torch.no_grad():
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(variance, MOMENTUM)
        return mean, variance
