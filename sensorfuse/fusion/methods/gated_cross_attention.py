"""Gated cross-attention: a trunk for one sensor, into which the others are let by gates. Torch; training only.

Method: Flamingo (Alayrac et al., NeurIPS 2022). For each sample, the trunk t is the first modality of `trunks` (those
with a token at every place) that is present. For every other present modality b in turn, then for the trunk's own
layer:

    H = P_t x_t + pos
    H <- H + tanh(alpha_b) softmax( LN(H) W_Q (LN(Z_b) W_K)^T / sqrt(d) ) LN(Z_b) W_V W_O,   Z_b = P_b x_b + pos
    H <- H + tanh(beta_b) FFN_b(LN H)
    H <- trunk layer (H)
    fused = U H + V_t x_t + sum_b tanh(gamma_b) V_b x_b                          (V_b of those at every place)

**Adding a sensor** to a network in use: `add` freezes all but what belongs to the new modalities, and closes their
gates (alpha = beta = gamma = 0). What comes out is then equal, bit for bit, to what came out without the new sensor,
and training can only depart from it as its gates open; tanh(alpha) says how far they are. A closed gate would not stop
NaN (0 NaN = NaN): values that are not finite, or beyond 1e4, are taken as 0 before anything else, in the trunk too.

**The trunk's modality absent**: the next of `trunks` takes its place, through its own P and V into the same layers, and
what had been let in by a gate is then the trunk. None of them present: the trunk is the learned places alone, and what
is heard of the others passes through their gates; with those closed the result is a constant.

Departures: there is no resampler (the tokens are few already), nor a mask in time (alignment has chosen the newest
sample before); one block per sensor, so that one can be added without touching another; V_b x_b, for the full
resolution. Where everything is trained at once from the start there is nothing to protect: `gate`, the start of alpha,
beta and gamma, is then not 0, which would keep the other sensors out of the first steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sensorfuse.fusion.methods.attention import FeedForward, TransformerLayer, attend
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.patches import PatchEmbedding
from sensorfuse.fusion.methods.presence import without_absent
from sensorfuse.fusion.methods.shares import norm_shares

LARGEST = 1e4
"""Values of tokens beyond this are no readings; their products would leave the range of numbers."""


def only_readings(x: Tensor) -> Tensor:
    """Zero for NaN, for infinities and for what is larger than any reading."""
    return torch.where(x.abs() <= LARGEST, x, torch.zeros(()))


class GatedBlock(nn.Module):
    """Lets one modality into the trunk; `placed`: it has a token at every place; `many`: it has more than one."""

    def __init__(self, placed: bool, many: bool, width: int, heads: int, gate: float) -> None:
        super().__init__()
        self.heads, self.many = heads, many
        self.normalise_source = nn.LayerNorm(width)
        if self.many:
            self.normalise = nn.LayerNorm(width)
            self.query = nn.Linear(width, width, bias=False)
            self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward = FeedForward(width)
        self.gates = nn.Parameter(torch.full((3 if placed else 2,), gate))
        """alpha, beta, and gamma of those at every place."""

    def forward(self, trunk: Tensor, source: Tensor, use: Tensor) -> Tensor:
        """What is to be added to the trunk (B, N, W) from a source (B, N or 1, W); `use` (B, 1, 1) is 1 or 0."""
        source = self.normalise_source(source)
        heard = self.value(source)
        if self.many:
            heard = attend(self.query(self.normalise(trunk)), self.key(source), heard, self.heads)
        alpha, beta = torch.tanh(self.gates[0]), torch.tanh(self.gates[1])
        added = use * alpha * self.out(heard)
        return added + use * beta * self.feed_forward(trunk + added)


class GatedCrossAttentionFusion(nn.Module):
    """Tokens of M modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `trunks` names modalities, of those with a token at every place, in the order in which they are preferred as the
    trunk; default all, in order. The weights are shares of the sizes of what is added up: P_t x_t + pos, and what gates
    let in.
    """

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        attention_width: int = 48,
        heads: int = 2,
        trunks: Sequence[int] | None = None,
        gate: float = 0.5,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.trunks = tuple(layout.placed if trunks is None else trunks)
        assert self.trunks, "at least one modality must be able to be the trunk"
        assert set(self.trunks) <= set(layout.placed), f"trunks {self.trunks}: of those at every place, {layout.placed}"
        self.embed = PatchEmbedding(layout, features, attention_width)
        self.blocks = nn.ModuleDict(
            {
                str(m): GatedBlock(m in layout.placed, n > 1, attention_width, heads, gate)
                for m, n in enumerate(layout.counts)
                if m != self.trunks[0]  # which is never heard through a gate
            }
        )
        self.trunk_layer = TransformerLayer(attention_width, heads)
        self.out = nn.Linear(attention_width, width * layout.cells)
        self.fine = nn.ModuleDict({str(m): nn.Linear(features, width) for m in layout.placed})

    def add(self, *modalities: int) -> None:
        """Make ready to train these modalities' part alone: everything else is frozen, and their gates are closed.

        None of them may be preferred as the trunk to one that is already there, or it would take the trunk over.
        """
        there = tuple(t for t in self.trunks if t not in modalities)
        assert there, "nothing is left that could be the trunk"
        assert self.trunks[: len(there)] == there, f"trunks {self.trunks}: put {modalities} last"
        self.requires_grad_(False)
        for m in modalities:
            self.embed.project[m].requires_grad_(True)
            self.blocks[str(m)].requires_grad_(True)
            if m in self.layout.placed:
                self.fine[str(m)].requires_grad_(True)
            self.gates(m).data.zero_()

    def gates(self, modality: int) -> Tensor:
        """alpha, beta (and gamma, of those at every place) of a modality that is not the first of `trunks`."""
        block = self.blocks[str(modality)]
        assert isinstance(block, GatedBlock)
        return block.gates

    def chosen(self, present: Tensor) -> Tensor:
        """(B, M) 1 for the modality that is the trunk; all 0 if none of `trunks` is present."""
        free = torch.ones_like(present[:, 0])
        out = [torch.zeros_like(free)] * self.layout.modalities
        for t in self.trunks:
            out[t] = free * present[:, t]
            free = free * (1 - present[:, t])
        return torch.stack(out, dim=1)

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        tokens = [only_readings(x) for x in without_absent(tokens, present)]
        streams = self.embed(tokens)
        trunk = self.chosen(present)
        use = present - trunk  # (B, M): heard through a gate

        state = (1 - trunk.sum(dim=1))[:, None, None] * self.embed.place
        for t in self.trunks:
            state = state + trunk[:, t, None, None] * streams[t]  # (B, N / p^2, W)
        parts = [trunk[:, m, None, None] * state for m in range(self.layout.modalities)]
        for m, z in enumerate(streams):
            if m != self.trunks[0]:
                added = self.blocks[str(m)](state, z, use[:, m, None, None])
                state, parts[m] = state + added, parts[m] + added
        fused = self.layout.to_cells(self.out(self.trunk_layer(state)))  # (B, N, D)
        for m in self.layout.placed:
            share = trunk[:, m]
            if m != self.trunks[0]:
                share = share + use[:, m] * torch.tanh(self.gates(m)[2])
            fused = fused + share[:, None, None] * self.fine[str(m)](tokens[m])
        return fused, norm_shares(parts, present)
