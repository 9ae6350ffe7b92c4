"""Modal attention: the joint feature of all modalities says how much each of them counts. Torch; training only.

Method: the re-weighted joint feature of Taobao's video understanding (Ruan, Yan, Wang, Alibaba, 2020); its relatives
are a softmax of a linear map of the concatenation. For each token, with x_m the token of modality m (a learned one
where it is absent), p_m its presence and n = sum_m p_m:

    e_m = relu(P_m x_m)
    w = softmax over the present m of  W_2 tanh(W_1 [e_1; ...; e_M] + b_1) + b_2
    fused = H [n w_1 e_1; ...; n w_M e_M] + b

The scores see the joint feature, so that a modality can lose its weight because the *others* contradict it.

Departures: the factor is n, not M, so that equal weights leave every e_m as it is however many are present; e_m has a
rectifier, without which H and P_m would be one matrix; the weights are per token, so that on a grid a modality may
count here and not there. Must be trained with modality dropout: without it one always absent takes the accuracy down
with it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens, present_softmax


class ModalAttentionFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `code` is the width of e_m, `hidden` that of the scores' network. The weights are w, averaged over tokens.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, code: int = 24, hidden: int = 16) -> None:
        super().__init__()
        modalities = layout.modalities
        self.splits = [hidden, width]  # W_1 e and H e in one product per modality
        self.missing = MissingTokens(modalities, features)
        self.project = nn.ModuleList(nn.Linear(features, code) for _ in range(modalities))
        self.joint = nn.ModuleList(nn.Linear(code, sum(self.splits), bias=False) for _ in range(modalities))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.score = nn.Linear(hidden, modalities)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        parts = []
        for project, joint, x in zip(self.project, self.joint, self.missing(tokens, present), strict=True):
            parts.append(joint(torch.relu(project(x))).split(self.splits, dim=-1))
        hidden = self.hidden_bias
        for part in sorted(parts, key=lambda p: p[0].shape[1]):  # the fewest tokens first
            hidden = hidden + part[0]
        weights = present_softmax(self.score(torch.tanh(hidden)), present)  # (B, N, M)
        scaled = weights * present.sum(dim=1)[:, None, None]
        fused = self.bias
        for m, part in enumerate(parts):
            fused = fused + scaled[..., m : m + 1] * part[1]
        return fused, weights.mean(dim=1)
