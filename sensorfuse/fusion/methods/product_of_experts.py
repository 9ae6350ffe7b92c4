"""Product of experts: every modality gives a Gaussian, and their product with a prior is the fused one. Torch; training
only.

Method: products of experts (Hinton 2002) as in the multimodal VAE (Wu and Goodman, NeurIPS 2018), the prior being an
expert too. For each token and fused number, with t the precisions and p_m presence:

    mu_m = U_m x_m,   t_m = exp(clamp(T_m x_m, -6, 6))
    t = 1 + sum_m p_m t_m,   mu = sum_m p_m t_m mu_m / t             of N(0, 1) times the present experts
    fused = mu;  in training mu + e / sqrt(t), e ~ N(0, 1)
    training adds  scale * mean over numbers of KL(N(mu, 1/t) || N(0, 1)) = (1/t + mu^2 - 1 + log t) / 2

A modality that is absent is left out of the product, and that is all: nothing stands in for it, and with nobody there
the result is the prior, N(0, 1), exactly. The drawn noise gives the variances a meaning: who says more than he knows
pays in the task's loss, who says less pays in the KL term.

Departure: no decoders; the task's heads take the place of rebuilding the inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import without_absent

LOG_PRECISION = 6.0
"""Largest magnitude of an expert's log precision: exp keeps to 400, and its inverse to half precision's range."""


class ProductOfExpertsFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `scale` weighs the KL term. The weights are the present experts' shares of their summed precision, averaged over
    tokens and numbers; the prior has none.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, scale: float = 1e-3) -> None:
        super().__init__()
        self.scale = scale
        self.experts = nn.ModuleList(nn.Linear(features, 2 * width) for _ in layout.counts)

    def posterior(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance of the product (B, N, D) each, and the experts' shares (B, M)."""
        *tokens, present = tokens_and_present
        pulls, precisions = [], []
        for m, (expert, x) in enumerate(zip(self.experts, without_absent(tokens, present), strict=True)):
            mean, log_precision = expert(x).chunk(2, dim=-1)
            precision = present[:, m, None, None] * torch.exp(log_precision.clamp(-LOG_PRECISION, LOG_PRECISION))
            pulls.append(precision * mean)
            precisions.append(precision)
        fewest_first = sorted(range(len(tokens)), key=lambda m: tokens[m].shape[1])
        pull, total = torch.zeros_like(pulls[fewest_first[0]]), torch.zeros_like(pulls[fewest_first[0]])
        for m in fewest_first:
            pull, total = pull + pulls[m], total + precisions[m]
        variance, known = 1 / (1 + total), 1 / total.clamp_min(1e-9)
        shares = torch.stack([(t * known).mean(dim=(1, 2)) for t in precisions], dim=1)
        return pull * variance, variance, shares

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        mean, variance, shares = self.posterior(*tokens_and_present)
        if self.training:
            mean = mean + variance.sqrt() * torch.randn_like(mean)
        return mean, shares

    def losses(self, *tokens_and_present: Tensor) -> dict[str, Tensor]:
        """`kl`: how far the product is from the prior."""
        mean, variance, _ = self.posterior(*tokens_and_present)
        return {"kl": self.scale * 0.5 * (variance + mean.square() - 1 - variance.log()).mean()}
