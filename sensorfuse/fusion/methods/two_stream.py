"""Two-stream fusion: the maps of all modalities side by side into one convolution. Torch; training only.

Method: convolutional fusion of feature maps (Feichtenhofer, Pinz, Zisserman, CVPR 2016), for any number of streams.
With x_m the map of modality m (learned tokens where it is absent) and v_n what has one token per sample:

    y = relu(f * [x_1; ...; x_K] + sum_n V_n v_n + b),   fused = O y

f has a window of 3 x 3 cells (3 steps in time): where one stream is put a cell beside the other, as by a calibration
that is a little off, there still is a place whose window holds both, up to a relative shift of 2 cells. Streams that
are pooled before they meet cannot tell whether they saw the same place.

Departures: the paper's window is 1 x 1 in space, as its streams share the camera; ours do not. Streams keep no way of
their own beside the fused one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.maps import over_places, to_tokens
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class TwoStreamFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `kernel` is the side of f's window, odd. The weights are shares of the sizes of f * x_m and V_n v_n.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, kernel: int = 3) -> None:
        super().__init__()
        self.layout = layout
        self.missing = MissingTokens(layout.modalities, features)
        self.streams = nn.ModuleDict({str(m): over_places(layout, features, width, kernel) for m in layout.placed})
        self.vectors = nn.ModuleDict(
            {str(m): nn.Linear(features, width) for m in range(layout.modalities) if m not in layout.placed}
        )
        self.out = nn.Linear(width, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = []  # f * x_m as tokens, and V_n v_n
        for m, x in enumerate(self.missing(tokens, present)):
            if m in self.layout.placed:
                parts.append(to_tokens(self.streams[str(m)](self.layout.to_map(x))))
            else:
                parts.append(self.vectors[str(m)](x))
        fewest_first = sorted(parts, key=lambda x: x.shape[1])
        y = fewest_first[0]
        for part in fewest_first[1:]:
            y = y + part
        return self.out(torch.relu(y)), norm_shares(parts, present)
