"""Recurrent residual fusion: one block run over its own output several times, all its states fused. Torch; training
only.

Method: RRF (Liu, Guo, Bakker, Lew, ICCV 2017). For each token, with x the tokens of all modalities side by side
(learned ones for the absent):

    h = relu(BN(B relu(A BN(x))))
    h_t = h_{t-1} + relu(BN_t(W h_{t-1}))       t = 0 .. T: W is shared, the batch normalisation is not
    s = relu(BN(sum_t v_t h_t + c))             T + 1 numbers v: a 1 x 1 convolution over the states
    fused = BN(C s)

A shared W makes depth cost no weights. Statistics are of training batches; a single sample at run time is normalised by
the running ones. Departures: one branch over all modalities, not one for each (what it feeds is a fusion's output, not
a search by similarity), so no normalisation to length 1; no dropout of neurons: modalities are dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class TokenNorm(nn.BatchNorm1d):
    """Batch normalisation of tokens (B, N, C), per feature."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).unflatten(0, (-1, x.shape[1]))


class RecurrentResidualFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `repeats` is T. The weights are shares of the sizes of A BN(x_m).
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, repeats: int = 3) -> None:
        super().__init__()
        self.missing = MissingTokens(layout.modalities, features)
        self.input_norm = nn.ModuleList(TokenNorm(features) for _ in layout.counts)
        self.inputs = nn.ModuleList(nn.Linear(features, 2 * width, bias=False) for _ in layout.counts)  # A, by columns
        self.inputs_bias = nn.Parameter(torch.zeros(2 * width))
        self.enter = nn.Linear(2 * width, width, bias=False)  # B
        self.enter_norm = TokenNorm(width)
        self.again = nn.Linear(width, width, bias=False)  # W; its bias would be lost in the normalisation, as B's
        self.again_norm = nn.ModuleList(TokenNorm(width) for _ in range(repeats + 1))
        self.states = nn.Parameter(torch.full((repeats + 1,), 1 / (repeats + 1)))  # v
        self.states_norm = TokenNorm(width)
        self.out = nn.Linear(width, width, bias=False)  # C
        self.out_norm = TokenNorm(width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        parts = [a(norm(x)) for a, norm, x in zip(self.inputs, self.input_norm, tokens, strict=True)]
        total = self.inputs_bias
        for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
            total = total + part
        h = torch.relu(self.enter_norm(self.enter(torch.relu(total))))
        fused = torch.zeros_like(h)
        for v, norm in zip(self.states, self.again_norm, strict=True):
            h = h + torch.relu(norm(self.again(h)))
            fused = fused + v * h
        fused = torch.relu(self.states_norm(fused))
        return self.out_norm(self.out(fused)), norm_shares(parts, present)
