"""Early fusion: the features of all modalities side by side into one network. Torch; training only.

Method: feature-level fusion (Baltrusaitis, Ahuja, Morency, TPAMI 2019). For each token, with x_m the token of modality
m (a learned one where it is absent) and p the presence of all:

    fused = E_2 relu(E_1 [x_1; ...; x_M; p] + e_1) + e_2

One hidden layer over the joint vector is enough to make products of modalities, which no sum of their own networks can.
E_1 is held by columns, one block per modality, so that what is heard at every place is multiplied once per sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class EarlyFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `hidden` is the width of the joint layer. The weights are shares of the sizes of E_1 x_m.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.missing = MissingTokens(layout.modalities, features)
        self.first = nn.ModuleList(nn.Linear(features, hidden, bias=False) for _ in layout.counts)
        self.first_presence = nn.Linear(layout.modalities, hidden)
        self.second = nn.Linear(hidden, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = [e(x) for e, x in zip(self.first, self.missing(tokens, present), strict=True)]
        total = self.first_presence(present)[:, None]  # (B, 1, H)
        for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
            total = total + part
        return self.second(torch.relu(total)), norm_shares(parts, present)
