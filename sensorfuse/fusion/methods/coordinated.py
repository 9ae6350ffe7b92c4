"""Coordinated fusion: every modality has its own space, and training makes the spaces agree. Torch; training only.

Coordinated representations in the sense of Baltrusaitis, Ahuja, Morency, TPAMI 2019; the agreement is by contrast
(NT-Xent: Chen et al., SimCLR, ICML 2020; between sensors: Girdhar et al., ImageBind, CVPR 2023). For each token:

    y_m = T_m(x_m) / |T_m(x_m)|,   T_m a tower of modality m's own
    fused = head( sum_m p_m y_m / sum_m p_m )
    loss = task + c * mean over pairs m < n of NT-Xent( Y_m, Y_n ),   Y_m = the normalised mean of y_m over places

What one modality is not there to say another says in the same words: the head is the same for all, so that what was
learned of a label with one sensor holds for another. No tower sees another modality.

Other samples of the batch are the negatives: a batch must be drawn from all over the recordings, or neighbours in time
are told to differ (`coordinate.far_apart` is for losses that know the stamps). Pairs of which one is absent do not
count. The agreement is of whole samples, not of places: places of one sample resemble each other too much to be
negatives. What a modality alone knows is under pressure to go; `agreement`, c, says how much.
"""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import without_absent
from sensorfuse.fusion.training.coordinate import ContrastiveLoss


class CoordinatedFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    The weights are those of the mean: equal among the present, for all y_m have length 1.
    """

    def __init__(
        self, layout: TokenLayout, features: int, width: int, embedding: int = 32, agreement: float = 0.1
    ) -> None:
        super().__init__()
        self.length, self.agreement = layout.length, agreement
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(features, embedding), nn.ReLU(), nn.Linear(embedding, embedding))
            for _ in layout.counts
        )
        self.head = nn.Sequential(nn.Linear(embedding, width), nn.ReLU(), nn.Linear(width, width))
        self.contrast = ContrastiveLoss("nt_xent")

    def embed(self, *tokens_and_present: Tensor) -> list[Tensor]:
        """y_m (B, N or 1, E) per modality, of length 1."""
        *tokens, present = tokens_and_present
        tokens = without_absent(tokens, present)
        return [F.normalize(tower(x), dim=-1, eps=1e-6) for tower, x in zip(self.towers, tokens, strict=True)]

    def embed_samples(self, *tokens_and_present: Tensor) -> list[Tensor]:
        """Y_m (B, E) per modality, of length 1: for retrieval, and to ask whether two sensors saw the same moment."""
        return [F.normalize(y.mean(dim=1), dim=-1, eps=1e-6) for y in self.embed(*tokens_and_present)]

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        present = tokens_and_present[-1]
        weights = present / present.sum(dim=1, keepdim=True).clamp_min(1.0)
        mean = torch.zeros(())
        for m, y in enumerate(self.embed(*tokens_and_present)):
            mean = mean + weights[:, m, None, None] * y
        return self.head(mean).expand(-1, self.length, -1), weights

    def losses(self, *tokens_and_present: Tensor) -> dict[str, Tensor]:
        """`agreement`: the contrastive loss, times c; 0 for a single modality."""
        present = tokens_and_present[-1]
        embedded = self.embed_samples(*tokens_and_present)
        total, pairs = torch.zeros(()), list(combinations(range(len(embedded)), 2))
        for m, n in pairs:
            total = total + self.contrast(embedded[m], embedded[n], present[:, m] * present[:, n])
        return {"agreement": self.agreement * total / max(len(pairs), 1)}
