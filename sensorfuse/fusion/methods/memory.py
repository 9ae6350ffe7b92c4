"""Memory fusion: a recurrent memory per modality, and one over all that watches how theirs change. Torch; training
only.

Method: MFN (Zadeh, Liang, Mazumder, Poria, Cambria, Morency, AAAI 2018). One step in time; for each place, with x_m the
token of modality m (a learned one where it is absent):

    h_m, c_m <- LSTM_m(x_m, h_m, c_m)                                system of LSTMs
    w = [c_1 ... c_M before the step; c_1 ... c_M after it]
    a = w * K softmax(A_2 relu(A_1 w)),  K = the length of w         delta-memory attention
    u <- sigmoid(R [a; u]) * u + sigmoid(S [a; u]) * tanh(U a)       multi-view gated memory; R, S, U: two layers each
    fused = O_2 relu(O_1 [h_1; ...; h_M; u])

The state (h, c, u) goes in and comes out: a call is one step, whoever calls keeps the state, and starts anew with
`initial_state` where the stream has a gap. With `scan`, the tokens are themselves steps in time: all are gone through
in one call, with one memory for all of them.

Departures. Attention weights are scaled by K, for a softmax over K numbers leaves 1 / K of each. On a grid there is one
memory per patch, its modalities' patches made small first, so that the state stays small; full resolution goes past
the memory, fused = ... + sum_m p_m V_m x_m / sum_m p_m. Remembered numbers stay within -8 to 8: c grows by less than 1
in a step, so a window of a few steps never gets there, but a stream goes on for hours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares

LIMIT = 8.0
"""Greatest size of a remembered number, however long a stream is."""


def two_layers(size: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, out))


class MemoryFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C), presence (B, M) and state -> fused (B, N, D), weights (B, M) and state.

    State (`state_names`): h and c (B, P, M K) and u (B, P, U) for P memories: one per place or patch, 1 with `scan`.
    `cell` is K, `memory` U. The weights are shares of the sizes of O_1 h_m.
    """

    state_names = ("h", "c", "u")

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        cell: int = 16,
        memory: int = 24,
        hidden: int = 32,
        scan: bool = False,
    ) -> None:
        super().__init__()
        self.layout, self.cell, self.memory, self.scan = layout, cell, memory, scan
        count, window = layout.modalities, 2 * layout.modalities * cell
        sizes = [features * layout.cells if n > 1 else features for n in layout.counts]
        self.missing = MissingTokens(count, features)
        self.embed = nn.ModuleList(nn.Linear(size, cell) for size in sizes)
        self.gates = nn.ModuleList(nn.Linear(2 * cell, 4 * cell) for _ in range(count))
        for linear in self.gates:
            nn.init.constant_(linear.bias[cell : 2 * cell], 1.0)  # type: ignore[index]  # remember, at the start
        self.attend = two_layers(window, hidden, window)
        self.propose = two_layers(window, hidden, memory)
        self.retain = two_layers(window + memory, hidden, memory)
        self.update = two_layers(window + memory, hidden, memory)
        self.out_cells = nn.ModuleList(nn.Linear(cell, hidden, bias=False) for _ in range(count))  # O_1, by columns
        self.out_memory = nn.Linear(memory, hidden)
        self.out = nn.Linear(hidden, width * layout.cells)
        self.fine = nn.ModuleList(nn.Linear(features, width) for _ in layout.placed) if layout.cells > 1 else None

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Nothing remembered: zeros."""
        places = 1 if self.scan else self.layout.patches
        cells = self.out.weight.new_zeros(batch, places, self.layout.modalities * self.cell)
        return cells, torch.zeros_like(cells), self.out.weight.new_zeros(batch, places, self.memory)

    def forward(self, *tokens_present_and_state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, `present`, then h, c and u."""
        *tokens, present, h, c, u = tokens_present_and_state
        tokens = self.missing(tokens, present)
        inputs = [
            torch.tanh(embed(self.layout.to_patches(x))).expand(-1, self.layout.patches, -1)
            for embed, x in zip(self.embed, tokens, strict=True)
        ]
        if self.scan:
            hs, us = [], []
            for n in range(self.layout.patches):
                h, c, u = self.step([x[:, n : n + 1] for x in inputs], h, c, u)
                hs.append(h)
                us.append(u)
            seen, remembered = torch.cat(hs, dim=1), torch.cat(us, dim=1)
        else:
            h, c, u = self.step(inputs, h, c, u)
            seen, remembered = h, u
        parts = [linear(x) for linear, x in zip(self.out_cells, seen.split(self.cell, dim=-1), strict=True)]
        hidden = self.out_memory(remembered)
        for part in parts:
            hidden = hidden + part
        fused = self.layout.to_cells(self.out(torch.relu(hidden)))
        if self.fine is not None:
            here = [present[:, m, None, None] for m in self.layout.placed]
            share = torch.stack(here).sum(dim=0).clamp_min(1.0)
            for p, linear, m in zip(here, self.fine, self.layout.placed, strict=True):
                fused = fused + p / share * linear(tokens[m])
        return fused, norm_shares(parts, present), h, c, u

    def step(self, inputs: list[Tensor], h: Tensor, c: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step of all memories: inputs (B, P, K) per modality."""
        hs, cs = [], []
        for gates, x, own, kept in zip(
            self.gates, inputs, h.split(self.cell, dim=-1), c.split(self.cell, dim=-1), strict=True
        ):
            enter, keep, show, new = gates(torch.cat([x, own], dim=-1)).chunk(4, dim=-1)
            cs.append((torch.sigmoid(keep) * kept + torch.sigmoid(enter) * torch.tanh(new)).clamp(-LIMIT, LIMIT))
            hs.append(torch.sigmoid(show) * torch.tanh(cs[-1]))
        after = torch.cat(cs, dim=-1)
        return torch.cat(hs, dim=-1), after, self.remember(c, after, u)

    def remember(self, before: Tensor, after: Tensor, u: Tensor) -> Tensor:
        """The memory over all (B, P, U), from all modalities' cells before and after a step (B, P, M K)."""
        window = torch.cat([before, after], dim=-1)
        attended = window * window.shape[-1] * torch.softmax(self.attend(window), dim=-1)
        both = torch.cat([attended, u], dim=-1)
        proposed = torch.tanh(self.propose(attended))
        after = torch.sigmoid(self.retain(both)) * u + torch.sigmoid(self.update(both)) * proposed
        return after.clamp(-LIMIT, LIMIT)
