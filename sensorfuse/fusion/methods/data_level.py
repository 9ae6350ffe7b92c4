"""Data-level fusion: all modalities side by side at every place, then one encoder for all. Torch; training only.

Method: fusion of the inputs, as when LiDAR points are painted with what the camera shows there (Vora, Lang, Helou,
Beijbom, PointPainting, CVPR 2020). With x_m the token of modality m (a learned one where it is absent), p the presence
of all, at each place:

    y_0 = relu(BN(D_1 [x_1; ...; x_M; p]))                  per place; nothing has been mixed over places before
    z   = relu(BN(S y_0)),  z <- z + relu(BN(Z_l z))        the shared encoder: half the resolution, L blocks of 3 x 3
    fused = relu(BN(C (y_0 + up(U z)))),  with a linear map O

A relation between modalities at different places (a shape in one, its shadow in another) can be learned by the shared
convolutions, which a network that fuses place by place cannot. In time the windows are of 3 steps.

Departure: painting needs raw points and pictures, which a fusion of tokens does not have; this is the lowest level
there is below that. What is heard at every place is one more layer of paint.
"""

from __future__ import annotations

from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.maps import enlarged, over_places, to_tokens
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares


class DataLevelFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `blocks` is L, `hidden` the width at half the resolution. The weights are shares of the sizes of D_1 x_m.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, hidden: int = 48, blocks: int = 2) -> None:
        super().__init__()
        self.layout = layout
        self.missing = MissingTokens(layout.modalities, features)
        self.paint = nn.ModuleList(nn.Linear(features, width, bias=False) for _ in layout.counts)
        self.paint_presence = nn.Linear(layout.modalities, width, bias=False)
        self.fine = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.down = self._layer(width, hidden, stride=2)
        self.blocks = nn.ModuleList(self._layer(hidden, hidden) for _ in range(blocks))
        self.up = nn.Conv2d(hidden, width, 1, bias=False)
        self.merge = self._layer(width, width)
        self.out = nn.Linear(width, width)

    def _layer(self, inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
        conv = over_places(self.layout, inputs, outputs, stride=stride)
        conv.bias = None  # the normalisation has one
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = [d(x) for d, x in zip(self.paint, self.missing(tokens, present), strict=True)]
        painted = self.paint_presence(present)[:, None]  # (B, 1, D)
        for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
            painted = painted + part
        fine = self.fine(self.layout.to_map(painted))
        coarse = self.down(fine)
        for block in self.blocks:
            coarse = coarse + block(coarse)
        merged = self.merge(fine + enlarged(self.up(coarse), fine))
        return self.out(to_tokens(merged)), norm_shares(parts, present)
