"""The way in and out of methods that attend: tokens to patches of one width, and streams of patches to fused tokens.
Torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import present_softmax


class PatchEmbedding(nn.Module):
    """z_m = P_m x_m + t_m + pos: a linear map per modality, its type embedding t_m, and where the patch lies.

    Modalities with a token at every place share the place embeddings; the others have none.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int) -> None:
        super().__init__()
        self.layout = layout
        sizes = [features * layout.cells if m in layout.placed else features for m in range(layout.modalities)]
        self.project = nn.ModuleList(nn.Linear(size, width, bias=False) for size in sizes)
        self.kind = nn.Parameter(0.02 * torch.randn(layout.modalities, width))
        self.place = nn.Parameter(0.02 * torch.randn(layout.patches, width))

    def forward(self, tokens: Sequence[Tensor]) -> list[Tensor]:
        """Tokens (B, N_m, C) -> (B, N / p^2 or 1, W) per modality."""
        out = []
        for m, (project, x) in enumerate(zip(self.project, tokens, strict=True)):
            z = project(self.layout.to_patches(x)) + self.kind[m]
            out.append(z + self.place if m in self.layout.placed else z)
        return out


class PatchReadout(nn.Module):
    """fused = sum_m w_m (V_m x_m + U z_m),  w = softmax over the present m of (s_m . z_m).

    z_m are the attended streams, on patches; V_m x_m keeps the full resolution.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, stream_width: int) -> None:
        super().__init__()
        self.layout = layout
        self.score = nn.ModuleList(nn.Linear(stream_width, 1) for _ in layout.counts)
        self.fine = nn.ModuleList(nn.Linear(features, width) for _ in layout.counts)
        self.out = nn.Linear(stream_width, width * layout.cells)

    def forward(self, tokens: Sequence[Tensor], streams: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N_m, C) and streams (B, N / p^2 or 1, W) -> fused (B, N, D) and the mean weights (B, M)."""
        scores = [score(z).expand(-1, self.layout.patches, -1) for score, z in zip(self.score, streams, strict=True)]
        weights = present_softmax(torch.cat(scores, dim=-1), present)  # (B, N / p^2, M)
        coarse = weights[..., :1] * streams[0]
        for m, z in enumerate(streams[1:], start=1):
            coarse = coarse + weights[..., m : m + 1] * z
        fused = self.layout.to_cells(self.out(coarse))  # (B, N, D)
        at_cells = self.layout.to_cells(weights.repeat(1, 1, self.layout.cells))  # (B, N, M)
        for m, (fine, x) in enumerate(zip(self.fine, tokens, strict=True)):
            fused = fused + at_cells[..., m : m + 1] * fine(x)
        return fused, weights.mean(dim=1)
