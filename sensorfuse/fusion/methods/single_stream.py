"""Single-stream fusion: one transformer over the tokens of all modalities at once. Torch; training only.

Method: VisualBERT (Li et al., 2019), UNITER (Chen et al., ECCV 2020), ViLT (Kim, Son, Kim, ICML 2021). Every token is
embedded with what it is and where it lies, and then all are alike:

    z_m = P_m x_m + t_m + pos,   Z = [z_1; ...; z_M]
    Z <- Z + softmax over the present tokens of ( LN(Z) W_Q (LN(Z) W_K)^T / sqrt(d) ) LN(Z) W_V W_O
    Z <- Z + FFN(LN Z)                                                          (L layers of both)
    fused = sum_m w_m (V_m x_m + U z_m),   w = softmax over the present m of (s_m . z_m)

Absent modalities' tokens are no keys; what becomes of them is not read.

Departures: ViLT reads a class token, but here every place needs a value: modalities' tokens at a place are weighted.
The cost grows with the square of all tokens: on a grid where they would be more than `most_tokens`, patches are made
larger. Of the objectives that such models are pre-trained with, none is here: this is the network, trained for its
task.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.attention import TransformerLayer
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.patches import PatchEmbedding, PatchReadout
from sensorfuse.fusion.methods.presence import without_absent


def coarser(layout: TokenLayout, most_tokens: int) -> TokenLayout:
    """The layout with patches doubled until all modalities' patches are no more than `most_tokens` (or fit no more)."""
    while layout.grid and len(layout.placed) * layout.patches > most_tokens:
        if any(side % (2 * layout.patch) for side in layout.grid):
            break
        layout = replace(layout, patch=2 * layout.patch)
    return layout


class SingleStreamFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    The weights are those of the read-out, averaged over places.
    """

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        attention_width: int = 48,
        heads: int = 2,
        layers: int = 2,
        most_tokens: int = 1024,
    ) -> None:
        super().__init__()
        layout = coarser(layout, most_tokens)
        self.embed = PatchEmbedding(layout, features, attention_width)
        self.layers = nn.ModuleList(TransformerLayer(attention_width, heads) for _ in range(layers))
        self.read = PatchReadout(layout, features, width, attention_width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        streams = self.embed(tokens)
        counts = [z.shape[1] for z in streams]
        heard = torch.cat([present[:, m : m + 1].expand(-1, n) for m, n in enumerate(counts)], dim=1)
        joined = torch.cat(streams, dim=1)  # (B, all tokens, W)
        for layer in self.layers:
            joined = layer(joined, heard)
        return self.read(tokens, joined.split(counts, dim=1), present)
