"""Directed cross-modal attention between the token sets of modalities. Torch; training only.

Method: the cross-modal blocks of MulT (Tsai et al., ACL 2019), one layer per ordered pair. For target a and source b:

    Z_a = P_a x_a + pos,   Y_b = P_b x_b + pos
    Z_a <- Z_a + sum_b p_b softmax( LN(Z_a) W_Q (LN(Y_b) W_K)^T / sqrt(d) ) LN(Y_b) W_V W_O
    Z_a <- Z_a + FFN(LN Z_a)
    fused = sum_a w_a (V_a x_a + U Z_a),   w = softmax over the present a of (s_a . Z_a)

Two departures, both for speed: sources stay the low-level tokens (as in MulT) but the M - 1 blocks of a target are
summed, not concatenated; and on a grid, attention runs between patches while V_a x_a keeps the full resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.attention import FeedForward, attend
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import present_softmax, without_absent


class DirectedAttention(nn.Module):
    """One block: queries (B, N, W) read a source (B, K, W), both already normalised -> (B, N, W)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        key, value = self.key_value(source).chunk(2, dim=-1)
        return self.out(attend(self.query(target), key, value, self.heads))


class Hearing(nn.Module):
    """What a block comes to with a source of one token, where the softmax over one key is 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        return self.out(source).expand(-1, target.shape[1], -1)


class CrossModalAttentionFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    On a grid, modalities that are placed on it ask and all answer; elsewhere all ask. The weights are the shares of
    those that ask, averaged over tokens; a modality that only answers has weight 0.
    """

    def __init__(
        self, layout: TokenLayout, features: int, width: int, attention_width: int = 48, heads: int = 2
    ) -> None:
        super().__init__()
        self.layout = layout
        self.targets = layout.placed if layout.grid else tuple(range(layout.modalities))
        sizes = [features * layout.cells if n > 1 else features for n in layout.counts]
        self.embed = nn.ModuleList(nn.Linear(size, attention_width) for size in sizes)
        self.position = nn.Parameter(0.02 * torch.randn(layout.patches, attention_width))
        self.normalise = nn.ModuleList(nn.LayerNorm(attention_width) for _ in layout.counts)
        self.blocks = nn.ModuleDict(
            {
                f"{a}_{b}": DirectedAttention(attention_width, heads) if n > 1 else Hearing(attention_width)
                for a in self.targets
                for b, n in enumerate(layout.counts)
                if a != b
            }
        )
        self.feed_forward = nn.ModuleList(FeedForward(attention_width) for _ in self.targets)
        self.score = nn.ModuleList(nn.Linear(attention_width, 1) for _ in self.targets)
        self.fine = nn.ModuleList(nn.Linear(features, width) for _ in self.targets)
        self.out = nn.Linear(attention_width, width * layout.cells)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        low = []
        for embed, x in zip(self.embed, tokens, strict=True):
            patches = embed(self.layout.to_patches(x))
            low.append(patches + self.position if x.shape[1] > 1 else patches)
        sources = [norm(x) for norm, x in zip(self.normalise, low, strict=True)]

        asked, scores = [], []
        for t, a in enumerate(self.targets):
            z = low[a]
            for b in range(self.layout.modalities):
                if b != a:
                    z = z + present[:, b, None, None] * self.blocks[f"{a}_{b}"](sources[a], sources[b])
            z = z + self.feed_forward[t](z)
            asked.append(z)
            scores.append(self.score[t](z).expand(-1, self.layout.patches, -1))
        weights = present_softmax(torch.cat(scores, dim=-1), present[:, list(self.targets)])  # (B, N', T)
        coarse = torch.zeros_like(asked[0][:, :1])
        for t, z in enumerate(asked):
            coarse = coarse + weights[..., t : t + 1] * z
        fused = self.layout.to_cells(self.out(coarse))  # (B, N, D)

        at_cells = self.layout.to_cells(weights.repeat(1, 1, self.layout.cells))
        for t, a in enumerate(self.targets):
            fused = fused + at_cells[..., t : t + 1] * self.fine[t](tokens[a])
        shares = [
            weights[..., self.targets.index(m)].mean(dim=1) if m in self.targets else torch.zeros_like(present[:, m])
            for m in range(self.layout.modalities)
        ]
        return fused, torch.stack(shares, dim=1)
