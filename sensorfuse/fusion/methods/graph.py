"""Dynamic fusion graph: a node for every modality, every pair and all together; how much each edge carries is decided
place by place. Torch; training only.

Method: the dynamic fusion graph (Zadeh, Liang, Poria, Cambria, Morency, ACL 2018). For each token, with x_m the token
of modality m and p_m its presence:

    h_m  = p_m tanh(H_m x_m + b_m)                                  nodes of one modality
    e    = sigmoid(E_2 relu(E_1 [h_1; ...; h_M] + e_1) + e_2)       an efficacy, 0 to 1, for every edge
    h_ab = p_a p_b relu(A_ab (e h_a) + B_ab (e h_b) + c_ab)         nodes of two
    h_*  = relu(sum over all nodes v of one and two of D_v (e h_v) + d)         the node of all, if M > 2
    fused = O relu(sum over all nodes v of T_v (e h_v) + t)

Each e in brackets is the entry for that edge. A node whose modalities are not all there is 0 and carries nothing:
absence leaves the graph of the others, no learned token is needed.

Departures: the paper has a node for every subset, 2^M - 1; for M <= 3 so have we, for more only the subsets of one, two
and all (16 of 31 for five modalities). Nodes are one layer deep.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import without_absent


class GraphFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `node` is the width of nodes. The weights: the root mean square of e h_v, what a node sends to the output, is shared
    equally among the present modalities of the node; each one's part of the whole.
    """

    def __init__(self, layout: TokenLayout, features: int, width: int, node: int = 16) -> None:
        super().__init__()
        modalities = layout.modalities
        self.pairs = list(itertools.combinations(range(modalities), 2))
        self.all_together = modalities > 2
        small = modalities + len(self.pairs)  # nodes of one and two
        self.nodes = small + int(self.all_together)
        self.node = node
        self.enter = nn.ModuleList(nn.Linear(features, node) for _ in range(modalities))
        self.to_pairs = nn.ModuleList(nn.Linear(node, (modalities - 1) * node, bias=False) for _ in range(modalities))
        self.pair_bias = nn.Parameter(torch.zeros(len(self.pairs), node))
        if self.all_together:
            self.to_all = nn.Linear(small * node, node)  # D, d
        self.to_out = nn.Linear(self.nodes * node, width)  # T, t
        edges = 2 * len(self.pairs) + self.nodes + (small if self.all_together else 0)
        self.efficacy_in = nn.ModuleList(nn.Linear(node, 2 * node, bias=False) for _ in range(modalities))
        self.efficacy_bias = nn.Parameter(torch.zeros(2 * node))
        self.efficacy_out = nn.Linear(2 * node, edges)
        self.out = nn.Linear(width, width)

    def efficacies(self, singles: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """From the nodes of one modality, how much edges carry: to pairs (B, N, 2 P), the first of a pair and then the
        second; to the output (B, N, V), all nodes; to the node of all (B, N, V - 1), or (B, N, 0)."""
        hidden = self.efficacy_bias
        for linear, h in sorted(zip(self.efficacy_in, singles, strict=True), key=lambda x: x[1].shape[1]):
            hidden = hidden + linear(h)
        e = torch.sigmoid(self.efficacy_out(torch.relu(hidden)))
        pairs, rest = e[..., : 2 * len(self.pairs)], e[..., 2 * len(self.pairs) :]
        return pairs, rest[..., : self.nodes], rest[..., self.nodes :]

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        here = present[..., None, None]  # (B, M, 1, 1)
        tokens = without_absent(tokens, present)
        nodes = [here[:, m] * torch.tanh(enter(x)) for m, (enter, x) in enumerate(zip(self.enter, tokens, strict=True))]
        to_pairs, to_out, to_all = self.efficacies(nodes)

        sent = [linear(h).split(self.node, dim=-1) for linear, h in zip(self.to_pairs, nodes, strict=True)]
        for i, (a, b) in enumerate(self.pairs):
            first, second = to_pairs[..., 2 * i : 2 * i + 1], to_pairs[..., 2 * i + 1 : 2 * i + 2]
            pair = torch.relu(first * sent[a][b - 1] + second * sent[b][a] + self.pair_bias[i])
            nodes.append(here[:, a] * here[:, b] * pair)

        if self.all_together:
            sent_all = [to_all[..., v : v + 1] * h for v, h in enumerate(nodes)]
            nodes.append(torch.relu(self.to_all(torch.cat(sent_all, dim=-1))))
        sent_out = [to_out[..., v : v + 1] * h for v, h in enumerate(nodes)]
        fused = self.to_out(torch.cat(sent_out, dim=-1))
        return self.out(torch.relu(fused)), self._weights(sent_out, present)

    def _weights(self, sent: list[Tensor], present: Tensor) -> Tensor:
        sizes = torch.stack([(x.square().mean(dim=(1, 2)) + 1e-12).sqrt() for x in sent], dim=1)  # (B, V)
        single = range(present.shape[1])
        members = [{m} for m in single] + [set(pair) for pair in self.pairs]
        if self.all_together:
            members.append(set(single))
        belongs = torch.tensor([[float(m in of) for m in single] for of in members])  # (V, M)
        theirs = belongs * present[:, None]  # (B, V, M)
        parts = (sizes[..., None] * theirs / theirs.sum(dim=2, keepdim=True).clamp_min(1.0)).sum(dim=1)
        return parts / parts.sum(dim=1, keepdim=True).clamp_min(1e-9)
