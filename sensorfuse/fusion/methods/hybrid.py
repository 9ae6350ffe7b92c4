"""Hybrid fusion: early, late and interaction fusion of the same tokens, mixed by learned gates. Torch; training only.

Taxonomy: Baltrusaitis, Ahuja, Morency, TPAMI 2019. For each token, with x_m the token of modality m (a learned one
where it is absent) and p_m its presence:

    early        e = E_2 relu(E_1 [x_1; ...; x_M; p])
    late         l = sum_m w_m V_m x_m,   w = softmax over the present m of (a_m + q_m . x_m)
    interaction  i = I [ (sum_m h_m)^2 - sum_m h_m^2 ] / 2,   h_m = p_m H_m x_m
    fused        f = g * (e + i) + (1 - g) * l,   g = sigmoid(gamma)

The interaction term is the sum over pairs m < n of h_m * h_n (the factorisation-machine identity, Rendle 2010):
products between modalities that neither a sum of modalities nor a vote can make.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens, present_softmax


class HybridFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `rank` is the width of the interaction's factors. The weights are the late branch's, averaged over tokens.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, rank: int = 16) -> None:
        super().__init__()
        modalities = layout.modalities
        self.splits = [width, width, rank, 1]  # E_1 x, V x, H x and a + q . x in one product per modality
        self.missing = MissingTokens(modalities, features)
        self.project = nn.ModuleList(nn.Linear(features, sum(self.splits)) for _ in range(modalities))
        self.early_presence = nn.Linear(modalities, width, bias=False)
        self.early_out = nn.Linear(width, width)
        self.interaction_out = nn.Linear(rank, width, bias=False)
        self.gate = nn.Parameter(torch.zeros(width))

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        count = max(x.shape[1] for x in tokens)
        parts = [linear(x).split(self.splits, dim=-1) for linear, x in zip(self.project, tokens, strict=True)]

        early = self.early_presence(present)[:, None]  # (B, 1, D)
        for part in parts:
            early = early + part[0]
        early = self.early_out(torch.relu(early))  # (B, N, D)

        scores = [part[3].expand(-1, count, -1) for part in parts]
        weights = present_softmax(torch.cat(scores, dim=-1), present)  # (B, N, M)
        late = torch.zeros_like(early)
        for m, part in enumerate(parts):
            late = late + weights[..., m : m + 1] * part[1]

        factors = [part[2] * present[:, m, None, None] for m, part in enumerate(parts)]
        total, squares = factors[0], factors[0] * factors[0]
        for h in factors[1:]:
            total, squares = total + h, squares + h * h
        interaction = self.interaction_out(0.5 * (total * total - squares))

        gate = torch.sigmoid(self.gate)
        return gate * (early + interaction) + (1 - gate) * late, weights.mean(dim=1)
