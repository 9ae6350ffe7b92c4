"""GAN-fusion: each modality's code is drawn towards what the other modalities say. Torch; training only.

Method: GAN-Fusion (Sahu and Vechtomova, EACL 2021). For every modality m, with x_m its token (a learned one where it is
absent), C_m a compression of the *others'* tokens with a rebuilding beside it, G_m a generator, D_m a discriminator and
n() a layer normalisation without weights:

    t_m = n(C_m(x_j, j != m)),   g_m = n(G_m(x_m + 0.01 e)),  e ~ N(0, 1) in training
    fused = relu(F_2 tanh(F_1 [g_1; ...; g_M]))
    training adds, over the modalities that are there, with d(c) = D_m([c - t_m + 0.3 e; t_m]),
        rebuild        how well x_j, j != m, are rebuilt from C_m(...)
        discriminator  -0.9 log d(t_m) - 0.1 log(1 - d(t_m)) - log(1 - d(g_m)),   moves D_m only
        generator      -log d(g_m),                                                moves G_m only

Only G and F run once trained. With `imitation="l2"` the two adversarial terms give way to the mean of (g_m - t_m)^2:
the simpler method that each use of this one must be compared with.

Departures. The discriminator sees how far the code is from its target, and the target (conditions: Mirza and Osindero,
2014): seeing one or the other, as in the paper, it can ask no more than that codes be *distributed* as targets, which
they can be without a word of what the others say. One backward pass for all: the discriminator's term sees t_m and g_m
detached, the generator's sees the discriminator with its weights detached, so that no term moves what another owns and
no turns need to be taken. Layer normalisation everywhere: batch statistics would tell the discriminator a batch of
codes from one of targets, and a robot has batches of 1. n() on both sides, noise on what is judged (Soenderby et al.,
2017), targets without a rectifier and the label 0.9 (Salimans et al., 2016), because a discriminator wins at once by a
difference in scale, by exact equality or by exact zeros. Of a grid, the losses look at some places drawn at random.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.methods.auto_fusion import Compression, Rebuilding
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.presence import MissingTokens
from sensorfuse.fusion.methods.shares import norm_shares

JITTER = 0.01
BLUR = 0.3
"""Deviation of the noise on what a discriminator judges."""
REAL = 0.9
"""What the discriminator is to say of a target."""


def stack(widths: list[int]) -> nn.Sequential:
    """Linear layers, with layer normalisation and a leaky rectifier between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths[:-1]):
        layers += [nn.Linear(a, b), nn.LayerNorm(b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


class GanFusion(nn.Module):
    """Tokens of M >= 2 modalities (B, N or 1, C) and presence (B, M) -> fused tokens (B, N, D) and weights (B, M).

    `code` is the width of g, `scale` weighs each added term, `places` is how many places the losses look at. The
    weights are shares of the sizes of F_1 g_m.
    """

    def __init__(
        self,
        layout: TokenLayout,
        features: int,
        width: int,
        code: int = 16,
        scale: float = 0.1,
        places: int = 64,
        imitation: Literal["gan", "l2"] = "gan",
    ) -> None:
        super().__init__()
        count = layout.modalities
        assert count >= 2, "GAN-fusion compares a modality with the others: it needs two or more"
        self.length, self.scale, self.places, self.imitation = layout.length, scale, places, imitation
        self.missing = MissingTokens(count, features)
        self.generators = nn.ModuleList(stack([features, 2 * code, 2 * code, code]) for _ in range(count))
        self.complements = nn.ModuleList(Compression(count - 1, features, code) for _ in range(count))
        self.rebuild = nn.ModuleList(Rebuilding(count - 1, features, code) for _ in range(count))
        if imitation == "gan":
            self.discriminators = nn.ModuleList(stack([2 * code, 2 * code, 2 * code, 1]) for _ in range(count))
        hidden = max(count * code // 2, width)
        self.first = nn.ModuleList(nn.Linear(code, hidden, bias=False) for _ in range(count))  # F_1, by columns
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.second = nn.Linear(hidden, width)

    def generated(self, tokens: list[Tensor]) -> list[Tensor]:
        """g_m (B, N_m, L) of tokens without gaps."""
        if self.training:
            tokens = [x + JITTER * torch.randn_like(x) for x in tokens]
        return [normalised(g(x)) for g, x in zip(self.generators, tokens, strict=True)]

    def forward(self, *tokens_and_present: Tensor) -> tuple[Tensor, Tensor]:
        """Positional: the tokens in the fixed modality order, then `present`."""
        *tokens, present = tokens_and_present
        codes = self.generated(self.missing(tokens, present))
        parts = [linear(g) for linear, g in zip(self.first, codes, strict=True)]
        total: Tensor = self.bias
        for part in sorted(parts, key=lambda x: x.shape[1]):  # the fewest tokens first
            total = total + part
        return torch.relu(self.second(torch.tanh(total))), norm_shares(parts, present)

    def judged(self, m: int, codes: Tensor, targets: Tensor, frozen: bool = False) -> Tensor:
        """What D_m says of codes beside their targets (B, S, L): logits (B, S); its weights detached if `frozen`."""
        apart = codes - targets + BLUR * torch.randn_like(codes)
        judge, shown = self.discriminators[m], torch.cat([apart, targets], dim=-1)
        weights = {name: p.detach() if frozen else p for name, p in judge.named_parameters()}
        return torch.func.functional_call(judge, weights, (shown,))[..., 0]

    def pairs(self, *tokens_and_present: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Codes g_m and targets t_m (B, S, L) of every modality at S places, and the rebuilding errors (B, M)."""
        *tokens, present = tokens_and_present
        tokens = self.missing(tokens, present)
        if self.length > self.places:
            drawn = torch.randperm(self.length, device=present.device)[: self.places]
            tokens = [x[:, drawn] if x.shape[1] > 1 else x for x in tokens]
        targets, errors = [], []
        for m, (compress, rebuild) in enumerate(zip(self.complements, self.rebuild, strict=True)):
            others = tokens[:m] + tokens[m + 1 :]
            there = torch.cat([present[:, :m], present[:, m + 1 :]], dim=1)
            target = compress(others)
            error = rebuild(target, [x.detach() for x in others]) * there
            errors.append(error.sum(dim=1) / there.sum(dim=1).clamp_min(1.0))
            targets.append(normalised(target))
        return self.generated(tokens), targets, torch.stack(errors, dim=1)

    def losses(self, *tokens_and_present: Tensor) -> dict[str, Tensor]:
        """`rebuild`, and `discriminator` and `generator` or `imitation`; means over the modalities that are there."""
        present = tokens_and_present[-1]
        codes, targets, errors = self.pairs(*tokens_and_present)

        def mean(each: list[Tensor]) -> Tensor:  # M of (B, S)
            over_places = torch.stack([x.mean(dim=1) for x in each], dim=1)
            return self.scale * (over_places * present).sum() / present.sum().clamp_min(1.0)

        rebuild = self.scale * errors.mean()
        if self.imitation == "l2":
            apart = [(g - t.detach()).square().mean(dim=-1) for g, t in zip(codes, targets, strict=True)]
            return {"rebuild": rebuild, "imitation": mean(apart)}
        discriminator, generator = [], []
        for m, (g, t) in enumerate(zip(codes, targets, strict=True)):
            t = t.detach()
            real, made = self.judged(m, t, t), self.judged(m, g.detach(), t)
            discriminator.append(
                (F.softplus(-real) + (1 - REAL) * real).mean(dim=1, keepdim=True)
                + F.softplus(made).mean(dim=1, keepdim=True)
            )
            generator.append(F.softplus(-self.judged(m, g, t, frozen=True)))
        return {"rebuild": rebuild, "discriminator": mean(discriminator), "generator": mean(generator)}
