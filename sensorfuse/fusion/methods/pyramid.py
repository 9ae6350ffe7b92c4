"""Pyramid fusion: modalities are fused at several scales, and the coarse ones are carried down to the fine. Torch;
training only.

Method: feature pyramids (Lin, Dollar, Girshick, He, Hariharan, Belongie, CVPR 2017) with a fusion at every level. With
x_m^0 the map of modality m (learned tokens where it is absent) and v_n what has one token per sample:

    x_m^(s+1) = relu(down_ms(x_m^s))                        3 x 3 cells or 3 steps in time, stride 2
    f_s = relu(sum_m F_ms x_m^s + b_s)                      at the last level also + sum_n V_n v_n
    y_S = f_S,   y_s = f_s + up(P_s y_(s+1))                up repeats every cell
    fused = O relu(C y_0),  C over 3 x 3 cells or 3 steps

Level s sees 2^s cells as one: what the modalities say about a wide area meets there, and comes down to every cell that
has a fine reading of its own. A vector is of no place, and enters where places are widest.

Departures: the paper's pyramid is of one picture, bottom-up through a whole backbone; here each modality has one
convolution per level, and levels end where a map has no more than one cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.maps import enlarged, over_places, to_tokens
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class Level(nn.Module):
    """One scale: makes maps half as large (but for the first), and what each of them sends into the fusion."""

    def __init__(self, layout: TokenLayout, features: int, width: int, first: bool) -> None:
        super().__init__()
        count = len(layout.placed)
        self.down = nn.ModuleList(
            over_places(layout, features, features, stride=2) for _ in range(0 if first else count)
        )
        self.fuse = nn.ModuleList(nn.Conv2d(features, width, 1, bias=False) for _ in range(count))

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        if len(self.down) > 0:
            maps = [torch.relu(down(x)) for down, x in zip(self.down, maps, strict=True)]
        return maps, [fuse(x) for fuse, x in zip(self.fuse, maps, strict=True)]


class PyramidFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `levels` is at most how many scales there are: full, 1/2, 1/4 by 3. The weights are shares of the sizes of what is
    sent in: F_ms x_m^s over all levels, and V_n v_n.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, levels: int = 3) -> None:
        super().__init__()
        self.layout = layout
        levels = min(levels, (min(layout.grid or (layout.length,)) - 1).bit_length() + 1)
        self.vectors = tuple(m for m in range(layout.modalities) if m not in layout.placed)
        self.missing = MissingTokens(layout.modalities, features)
        self.levels = nn.ModuleList(Level(layout, features, width, first=s == 0) for s in range(levels))
        self.bias = nn.Parameter(torch.zeros(levels, width, 1, 1))
        self.heard = nn.ModuleList(nn.Linear(features, width, bias=False) for _ in self.vectors)
        self.carry = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(levels - 1))
        self.smooth = over_places(layout, width, width)
        self.out = nn.Linear(width, width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        maps = [self.layout.to_map(tokens[m]) for m in self.layout.placed]
        levels = []  # per level, what each placed modality sends in
        for level in self.levels:
            maps, sent = level(maps)
            levels.append(sent)
        heard = [linear(tokens[m]) for linear, m in zip(self.heard, self.vectors, strict=True)]  # (B, 1, D)

        y: Tensor | None = None
        for s in reversed(range(len(levels))):
            f = self.bias[s]
            if s == len(levels) - 1:
                for x in heard:
                    f = f + x.transpose(1, 2)[..., None]  # (B, D, 1, 1)
            for x in levels[s]:
                f = f + x
            f = torch.relu(f)
            y = f if y is None else f + enlarged(self.carry[s](y), f)
        assert y is not None
        return self.out(to_tokens(torch.relu(self.smooth(y)))), self._weights(levels, heard, present)

    def _weights(self, levels: list[list[Tensor]], heard: list[Tensor], present: Tensor) -> Tensor:
        """Shares (B, M): a placed modality's size is the mean of its sizes at the levels."""
        parts = []
        for m in range(self.layout.modalities):
            if m in self.vectors:
                parts.append(heard[self.vectors.index(m)])
            else:
                sent = [level[self.layout.placed.index(m)] for level in levels]
                squares = [x.square().mean(dim=(1, 2, 3)) for x in sent]
                parts.append(torch.stack(squares, dim=1).mean(dim=1).sqrt()[:, None, None])
        return norm_shares(parts, present)
