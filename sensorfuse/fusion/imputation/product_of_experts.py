"""Imputing by a product of experts: every present modality has its opinion of the absent one. Torch.

Products of experts (Hinton, 2002) as in the multimodal VAE (Wu and Goodman, NeurIPS 2018), but in the space of the
features themselves, so that no decoder is between. For each number x of the absent modality b, at each cell:

    every present a says  x ~ N(mu_ab, 1 / t_ab),   mu_ab, t_ab from a's features there and around
    t = t_0 + sum_a p_a t_ab,   mu = (t_0 mu_0 + sum_a p_a t_ab mu_ab) / t,   x ~ N(mu, 1 / t)

The prior N(mu_0, 1 / t_0) is an expert too, and depends on the place alone. An absent modality is left out of the
product; with none present the prior is what remains. All experts are trained together on random subsets, so that
precisions tell what an expert adds to the others and not only how good it is alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.imputation.feature_imputer import MAPS, FeatureImputer, Typical, pooled

LOG_PRECISION = 6.0
PRIOR_CELLS = 16


class ProductOfExpertsImputer(FeatureImputer):
    """One trunk per source, and a small head that says what it thinks of every target."""

    others: Tensor

    def __init__(self, typical: Typical, width: int = 24) -> None:
        super().__init__(typical)
        count, channels = self.scale.shape
        self.trunks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
            )
            if m < MAPS
            else nn.Sequential(nn.Linear(channels, width), nn.ReLU())
            for m in range(count)
        )
        self.of_maps = nn.ModuleList(
            _head(nn.Conv2d(width, 2 * MAPS * channels, 1) if m < MAPS else nn.Linear(width, 2 * MAPS * channels))
            for m in range(count)
        )
        self.of_vectors = nn.ModuleList(
            _head(nn.Linear(2 * width if m < MAPS else width, 2 * (count - MAPS) * channels)) for m in range(count)
        )
        self.prior_maps = nn.Parameter(torch.zeros(2, MAPS * channels, PRIOR_CELLS, PRIOR_CELLS))
        self.prior_vectors = nn.Parameter(torch.zeros(2, (count - MAPS) * channels))
        self.register_buffer("others", (1 - torch.eye(count)).repeat_interleave(channels, dim=1), persistent=False)

    def predict(self, features: list[Tensor], present: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        channels = features[-1].shape[1]
        prior = F.interpolate(self.prior_maps, size=features[0].shape[2:], mode="bilinear", align_corners=False)
        pull, total = _weighed(prior[:1], prior[1:])
        scene_pull, scene_total = _weighed(self.prior_vectors[:1], self.prior_vectors[1:])
        for a, (trunk, x) in enumerate(zip(self.trunks, features, strict=True)):
            hidden = trunk(x)
            heard = present[:, a : a + 1] * self.others[a]  # (B, M C): nobody is his own expert
            said = self.of_maps[a](hidden)
            said = said if a < MAPS else said[:, :, None, None]
            more, surer = _weighed(*said.chunk(2, dim=1))
            there = heard[:, : MAPS * channels, None, None]
            pull, total = pull + there * more, total + there * surer
            more, surer = _weighed(*self.of_vectors[a](pooled(hidden) if a < MAPS else hidden).chunk(2, dim=1))
            there = heard[:, MAPS * channels :]
            scene_pull, scene_total = scene_pull + there * more, scene_total + there * surer
        means = [*(pull / total).split(channels, dim=1), *(scene_pull / scene_total).split(channels, dim=1)]
        variances = [*(1 / total).split(channels, dim=1), *(1 / scene_total).split(channels, dim=1)]
        return means, variances


def _weighed(mean: Tensor, log_precision: Tensor) -> tuple[Tensor, Tensor]:
    """A Gaussian's pull, precision times mean, and its precision."""
    precision = torch.exp(log_precision.clamp(-LOG_PRECISION, LOG_PRECISION))
    return precision * mean, precision


def _head(head: nn.Conv2d | nn.Linear) -> nn.Module:
    """An expert begins less sure than the prior."""
    assert head.bias is not None
    nn.init.constant_(head.bias[len(head.bias) // 2 :], -1.0)
    return head
