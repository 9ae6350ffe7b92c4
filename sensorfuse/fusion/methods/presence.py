"""Absent modalities inside a fusion network: a learned token takes their place, and nothing of theirs gets through.
Torch.

Zeros would not do: zero is a legal reading of an IMU. A product with the mask would not do either: NaN times zero is
NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

NEVER = -1e4
"""Added to the scores of what is absent: large, and still finite in half precision."""


class MissingTokens(nn.Module):
    """One learned token per modality, M x C."""

    def __init__(self, modalities: int, features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(modalities, features))

    def forward(self, tokens: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """Tokens of each modality (B, N_m, C), those of absent ones (`present` (B, M) is 0) replaced by the learned
        token.
        """
        return [torch.where(present[:, m, None, None] > 0.5, x, self.token[m]) for m, x in enumerate(tokens)]


def without_absent(tokens: Sequence[Tensor], present: Tensor) -> list[Tensor]:
    """Tokens of each modality (B, N_m, C), zeros for the absent: for methods that leave those out by other means."""
    return [torch.where(present[:, m, None, None] > 0.5, x, torch.zeros(())) for m, x in enumerate(tokens)]


def present_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the last axis of scores (B, N, M) among the present modalities (B, M); all zero if none is."""
    weights = torch.softmax(torch.where(present[:, None] > 0.5, scores, NEVER), dim=-1) * present[:, None]
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-6)
