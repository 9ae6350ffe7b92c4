"""Polynomial tensor pooling: powers of linear forms of all modalities, over neighbouring places. Torch; training only.

Method: PTP and HPFN (Hou, Tang, Zhang, Kong, Zhao, NeurIPS 2019). A linear map of the tensor of order P,
f (x) ... (x) f, with f = [1; everything in a window], whose weight is a sum of R symmetric rank-one tensors:

    z_h = sum_r lambda_rh (a_rh . f)^P + b_h            all products of up to P numbers of f; P does not change the cost
    n(z) = g * s / (||s|| / sqrt(H) + 1e-6),   s = sign(z) sqrt|z|,  made smooth at 0:  s = z (z^2 + 1e-4)^(-1/4)

First layer: f = [1; x_1; ...; x_M] at one place, x_m a learned token where m is absent. Second layer (HPFN): f = [1;
the first layer's n(z) at the place and at its neighbours], 3 x 3 cells of a grid or 3 steps in time; its degree is P^2.
Then fused = O n(z).

"Order P" here is P factors. Departures: places share their weights (a map of any size has the same number of them), so
the second layer is a convolution; a norm's scale g is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class PolynomialPooling(nn.Module):
    """From the linear forms a . f of every place (B, N, R H) to n(z) (B, N, H), or to z."""

    def __init__(self, order: int, rank: int, width: int, normalise: bool) -> None:
        super().__init__()
        self.order, self.rank = order, rank
        self.mix = nn.Parameter(torch.randn(rank, width) * rank**-0.5)  # lambda
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(width)) if normalise else None

    def forward(self, forms: Tensor) -> Tensor:
        power = forms
        for _ in range(self.order - 1):
            power = power * forms
        z = (power.unflatten(-1, (self.rank, -1)) * self.mix).sum(dim=-2) + self.bias
        if self.scale is None:
            return z
        root = z * (z * z + 1e-4) ** -0.25
        size = (root.square().mean(dim=-1, keepdim=True) + 1e-12).sqrt()
        return self.scale * root / (size + 1e-6)


class PolynomialFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `order` is P, `rank` R and `hidden` the first layer's H; `layers` 1 leaves out the neighbours, `normalise` False
    the norms: then the result is a polynomial of degree P^layers. The weights are shares of the sizes of a . x_m in the
    first layer.
    """

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        order: int = 2,
        rank: int = 2,
        hidden: int = 16,
        layers: int = 2,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        assert layers in (1, 2)
        self.layout = layout
        self.missing = MissingTokens(layout.modalities, features)
        hidden = hidden if layers == 2 else width
        self.forms = nn.ModuleList(nn.Linear(features, rank * hidden, bias=False) for _ in layout.counts)
        self.constant = nn.Parameter(0.5 * torch.randn(rank * hidden))  # a's entry for the 1 in f
        self.first = PolynomialPooling(order, rank, hidden, normalise)
        self.near: nn.Conv2d | None = None
        if layers == 2:
            window = (3, 3) if layout.grid else (1, min(3, layout.length))
            self.near = nn.Conv2d(hidden, rank * width, window, padding=(window[0] // 2, window[1] // 2))
            self.second = PolynomialPooling(order, rank, width, normalise)
        self.out = nn.Linear(width, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = [a(x) for a, x in zip(self.forms, self.missing(tokens, present), strict=True)]
        forms = self.constant
        for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
            forms = forms + part
        z = self.first(forms)  # (B, N, H)
        if self.near is not None:
            z = self.second(self.near(self.layout.to_map(z)).flatten(2).transpose(1, 2))
        return self.out(z), norm_shares(parts, present)
