"""Tensor fusion: the outer product of all modalities' small codes, each with a one put before it. Torch; training only.

Method: TFN (Zadeh, Chen, Poria, Cambria, Morency, EMNLP 2017). For each token, with x_m the token of modality m and p_m
its presence:

    h_m = p_m tanh(A_m x_m + a_m),   z_m = [1; h_m]                 k + 1 numbers
    Z = z_1 (x) ... (x) z_M                                         every product of up to M codes; (k + 1)^M numbers
    fused = F_2 relu(F_1 vec(Z) + f_1) + f_2

With h_m = 0 all products that hold m vanish, and Z is the tensor of the other modalities: absence is exact, and no
learned token is needed.

Departures: codes pass a tanh, so that a product of M of them stays within 1; k is chosen so that Z stays affordable,
unless it is given (4 for five modalities). And Z of a grid is never built over modalities with one token per sample:
their product V is contracted with F_1 once per sample, F_1 vec(P (x) V) = (F_1 x_V V) vec(P), which is the same number
by another order of sums.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import without_absent
from sensorfuse.fusion.methods.shares import norm_shares

ENTRIES = 3125
"""Most entries of Z: five codes of 4."""
NUMBERS = 2**20
"""Most entries of all places' tensors together."""


def code_width(modalities: int, placed: int, length: int) -> int:
    """The widest code, 1 to 16, for which the tensors stay within `ENTRIES` and `NUMBERS`."""
    fits = [k for k in range(1, 17) if (k + 1) ** modalities <= ENTRIES and (k + 1) ** placed * length <= NUMBERS]
    return max(fits, default=1)


def outer(codes: list[Tensor]) -> Tensor:
    """Outer product of [1; h] over codes h (B, N_m, k) -> (B, N, (k + 1)^count); the last code's index runs fastest."""
    first, *others = [torch.cat([torch.ones_like(h[..., :1]), h], dim=-1) for h in codes]
    for z in others:
        first = (first[..., :, None] * z[..., None, :]).flatten(2)
    return first


class TensorFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `code` is k. The weights are shares of the codes' sizes.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, code: int | None = None) -> None:
        super().__init__()
        self.placed = layout.placed
        self.single = tuple(m for m in range(layout.modalities) if m not in self.placed)
        code = code or code_width(layout.modalities, len(self.placed), layout.length)
        self.project = nn.ModuleList(nn.Linear(features, code) for _ in layout.counts)
        rows, columns = (code + 1) ** len(self.placed), (code + 1) ** len(self.single)
        self.first = nn.Parameter(torch.empty(rows, columns, width))  # F_1, by P and by V
        nn.init.normal_(self.first, std=2 ** (-layout.modalities / 2))
        self.first_bias = nn.Parameter(torch.zeros(width))
        self.second = nn.Linear(width, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        codes = [
            present[:, m, None, None] * torch.tanh(linear(x))
            for m, (linear, x) in enumerate(zip(self.project, tokens, strict=True))
        ]
        placed = outer([codes[m] for m in self.placed])  # (B, N, rows)
        weight = self.first[:, 0]  # (rows, D)
        if self.single:
            single = outer([codes[m] for m in self.single])[:, 0]  # (B, columns)
            weight = (single @ self.first.transpose(0, 1).flatten(1)).unflatten(1, weight.shape)
        hidden = torch.relu(placed @ weight + self.first_bias)
        return self.second(hidden), norm_shares(codes, present)
