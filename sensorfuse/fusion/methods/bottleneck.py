"""Attention bottlenecks: what streams tell one another passes through a few shared tokens. Torch; training only.

Method: MBT (Nagrani, Yang, Arnab, Jansen, Schmid, Sun, NeurIPS 2021). F are the bottleneck's tokens, learned at the
start:

    [Z_m; F_m] <- layer_m([Z_m; F])          a transformer layer of modality m's own, over its tokens and the bottleneck
    F <- sum_m p_m F_m / sum_m p_m           the present modalities' versions, averaged
    fused = sum_m w_m (V_m x_m + U Z_m),   w = softmax over the present m of (s_m . Z_m)

A modality's tokens never see another's: in one layer they write to F, in the next they read what all have written. The
cost is that of each stream alone.

Departures: the paper lets streams run apart for some layers before the bottleneck opens; here the encoders have done
that. It averages class tokens' answers; here every place needs a value, so that streams are weighted place by place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.attention import TransformerLayer
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.patches import PatchEmbedding, PatchReadout
from sensorfuse.fusion.methods.presence import without_absent


class BottleneckFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `bottlenecks` is how many tokens F has. At least two layers, or nothing passes between modalities. The weights are
    those of the read-out, averaged over places.
    """

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        attention_width: int = 48,
        heads: int = 2,
        layers: int = 2,
        bottlenecks: int = 4,
    ) -> None:
        super().__init__()
        assert layers >= 2, "with one layer nothing passes the bottleneck"
        self.embed = PatchEmbedding(layout, features, attention_width)
        self.bottleneck = nn.Parameter(0.02 * torch.randn(bottlenecks, attention_width))
        self.layers = nn.ModuleList(
            nn.ModuleList(TransformerLayer(attention_width, heads) for _ in layout.counts) for _ in range(layers)
        )
        self.read = PatchReadout(layout, features, width, attention_width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        streams = self.embed(tokens)
        shares = present / present.sum(dim=1, keepdim=True).clamp_min(1.0)
        shared = self.bottleneck.expand(present.shape[0], -1, -1)
        for layers in self.layers:
            assert isinstance(layers, nn.ModuleList)
            joined = [layer(torch.cat([z, shared], dim=1)) for layer, z in zip(layers, streams, strict=True)]
            streams = [x[:, : z.shape[1]] for x, z in zip(joined, streams, strict=True)]
            shared = torch.zeros_like(shared)
            for m, (x, z) in enumerate(zip(joined, streams, strict=True)):
                shared = shared + shares[:, m, None, None] * x[:, z.shape[1] :]
        return self.read(tokens, streams, present)
