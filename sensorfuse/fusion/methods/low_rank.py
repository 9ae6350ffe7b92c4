"""Low-rank tensor fusion: the tensor of all modalities' products, weighted without being built. Torch; training only.

Method: LMF (Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency, ACL 2018). A linear map of TFN's tensor
Z = [1; x_1] (x) ... (x) [1; x_M] whose weight is a sum of R rank-one tensors needs no Z:

    fused = sum_r lambda_r * (u_1r + U_1r x_1) * ... * (u_Mr + U_Mr x_M) + b

for each token, u_mr being the row of the constant one. An absent modality is x_m = 0: its factor is u_mr, which is
what the tensor of the others comes to, so absence is exact and no learned token is needed.

Departures: lambda is one number per rank and output (the paper sums, its code weights by rank); u starts at 1 and
U small, so that the start is a sum of all orders and not a product of M random numbers, which vanishes or explodes.
Factors of modalities with one token per sample are multiplied once, before they meet the others'.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import without_absent
from sensorfuse.fusion.methods.shares import norm_shares


class LowRankFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `rank` is R. The weights are shares of the sizes of U_m x_m.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, rank: int = 4) -> None:
        super().__init__()
        self.counts, self.rank = layout.counts, rank
        self.factors = nn.ModuleList(nn.Linear(features, rank * width, bias=False) for _ in layout.counts)
        self.ones = nn.Parameter(torch.ones(layout.modalities, rank * width))  # u
        self.mix = nn.Parameter(torch.randn(rank, width) * rank**-0.5)  # lambda
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = [u(x) for u, x in zip(self.factors, without_absent(tokens, present), strict=True)]
        product = self.mix.flatten()
        for m in sorted(range(len(parts)), key=lambda m: self.counts[m]):  # the fewest tokens first
            product = product * (self.ones[m] + parts[m])
        fused = product.unflatten(-1, (self.rank, -1)).sum(dim=-2) + self.bias
        return fused, norm_shares(parts, present)
