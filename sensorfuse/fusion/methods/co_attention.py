"""Co-attention: streams that keep to themselves, and in every layer ask one another, both ways. Torch; training only.

Method: ViLBERT (Lu, Batra, Parikh, Lee, NeurIPS 2019). A layer is a connection and a layer of each stream's own. For
every pair a, b of streams, from the same states, at once:

    c_ab = softmax(Q_a K_b^T / sqrt(d)) V_b,    c_ba = softmax(Q_b K_a^T / sqrt(d)) V_a,    Q, K, V linear in LN(Z)
    Z_a <- Z_a + O_a sum_b p_b c_ab,   Z_a <- Z_a + FFN_a(LN Z_a)               connection
    Z_a <- Z_a + attention of Z_a to itself,   Z_a <- Z_a + FFN'_a(LN Z_a)      own layer
    fused = sum_a w_a (V_a x_a + U Z_a),   w = softmax over the present a of (s_a . Z_a)

Unlike directed cross-modal attention, whose sources stay what they were, a stream hears in the next layer what the
others made of what they had heard: with two layers it can act on what it was asked.

Departures: ViLBERT has two streams; with M, what one hears from the others is summed, each under its own softmax, and
Q, K, V are made once per stream and not once per pair. Normalisation comes before each part. A stream of one token has
no attention to itself. On a grid, streams are of patches, while V_a x_a keeps the full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.attention import FeedForward, TransformerLayer, attend
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.patches import PatchEmbedding, PatchReadout
from sensorfuse.fusion.methods.presence import without_absent


class Connection(nn.Module):
    """Every stream asks every other one, all from the same states; `many[m]`: whether m has more than one token."""

    def __init__(self, many: Sequence[bool], width: int, heads: int) -> None:
        super().__init__()
        self.many, self.heads = tuple(many), heads
        streams = range(len(self.many))
        self.normalise = nn.ModuleList(nn.LayerNorm(width) for _ in streams)
        asking = [a for a in streams if any(self.many[b] for b in streams if b != a)]
        self.query = nn.ModuleDict({str(a): nn.Linear(width, width, bias=False) for a in asking})
        self.key = nn.ModuleDict({str(b): nn.Linear(width, width, bias=False) for b in streams if self.many[b]})
        self.value = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in streams)
        self.out = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in streams)
        self.feed_forward = nn.ModuleList(FeedForward(width) for _ in streams)

    def forward(self, streams: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """Streams (B, N or 1, W) -> the same, having heard the present others."""
        low = [norm(z) for norm, z in zip(self.normalise, streams, strict=True)]
        query = {a: self.query[str(a)](z) for a, z in enumerate(low) if str(a) in self.query}
        key = {b: self.key[str(b)](z) for b, z in enumerate(low) if self.many[b]}
        value = [f(z) for f, z in zip(self.value, low, strict=True)]
        after = []
        for a, z in enumerate(streams):
            heard = torch.zeros_like(z)
            for b, v in enumerate(value):
                if b != a:
                    context = attend(query[a], key[b], v, self.heads) if self.many[b] else v
                    heard = heard + present[:, b, None, None] * context
            z = z + self.out[a](heard)
            after.append(z + self.feed_forward[a](z))
        return after


class CoAttentionFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    The weights are those of the read-out, averaged over places.
    """

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        attention_width: int = 32,
        heads: int = 2,
        layers: int = 2,
    ) -> None:
        super().__init__()
        many = [n > 1 for n in layout.counts]
        self.embed = PatchEmbedding(layout, features, attention_width)
        self.connect = nn.ModuleList(Connection(many, attention_width, heads) for _ in range(layers))
        self.own = nn.ModuleList(
            nn.ModuleList(TransformerLayer(attention_width, heads) if m else nn.Identity() for m in many)
            for _ in range(layers)
        )
        self.read = PatchReadout(layout, features, width, attention_width)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        streams = self.embed(tokens)
        for connect, own in zip(self.connect, self.own, strict=True):
            assert isinstance(own, nn.ModuleList)
            streams = [layer(z) for layer, z in zip(own, connect(streams, present), strict=True)]
        return self.read(tokens, streams, present)
