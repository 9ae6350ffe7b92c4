"""Tasks that tell fusion methods apart, and the one small training loop for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

torch.set_num_threads(1)

FEATURES = 8


class Read(nn.Module):
    """A fusion method on modalities (B, N_m, C), all present, with a linear read-out (B, outputs) of the tokens' mean.

    Single tokens may be given as (B, C). What the method adds to the task's loss is kept in `added`.
    """

    def __init__(self, fusion: nn.Module, width: int, outputs: int = 1) -> None:
        super().__init__()
        self.fusion, self.read = fusion, nn.Linear(width, outputs)
        self.added = torch.zeros(())

    def forward(self, *modalities: Tensor) -> Tensor:
        tokens = [x[:, None] if x.dim() == 2 else x for x in modalities]
        present = torch.ones(len(tokens[0]), len(tokens))
        fused = self.fusion(*tokens, present)[0]
        if self.training and hasattr(self.fusion, "losses"):
            self.added = sum(self.fusion.losses(*tokens, present).values(), torch.zeros(()))
        return self.read(fused.mean(dim=1))


class EarlyLinear(nn.Module):
    """One linear map of all the modalities (B, C)."""

    def __init__(self, modalities: int = 2, features: int = FEATURES, outputs: int = 1) -> None:
        super().__init__()
        self.read = nn.Linear(modalities * features, outputs)

    def forward(self, *modalities: Tensor) -> Tensor:
        return self.read(torch.cat(modalities, dim=1))


class LateSum(nn.Module):
    """Each modality (B, C) decides on its own, by a network if `hidden`; the decisions are added."""

    def __init__(self, modalities: int = 2, features: int = FEATURES, hidden: int = 0, outputs: int = 1) -> None:
        super().__init__()

        def one() -> nn.Module:
            if not hidden:
                return nn.Linear(features, outputs)
            return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

        self.each = nn.ModuleList(one() for _ in range(modalities))

    def forward(self, *modalities: Tensor) -> Tensor:
        return torch.stack([f(x) for f, x in zip(self.each, modalities, strict=True)]).sum(dim=0)


def products(order: int, count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """`order` modalities N(0, 1) (count, 8) and the sign of the product of one number of each, 1 or 0 (count, 1)."""
    x = np.random.default_rng(seed).standard_normal((order, count, FEATURES)).astype(np.float32)
    score = np.prod([x[m, :, 2 * m % FEATURES] for m in range(order)], axis=0)
    return [torch.from_numpy(one) for one in x], torch.from_numpy((score > 0).astype(np.float32))[:, None]


def blobs(side: int, near: tuple[int, int], far: tuple[int, int], count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """One blob in each of two maps of side x side cells (count, side^2, 1), and whether they are near to each other.

    `near` and `far` are the least and the largest distance of the two, in cells along the worse axis.
    """
    rng = torch.Generator().manual_seed(seed)
    row, column = torch.arange(side * side) // side, torch.arange(side * side) % side
    distance = torch.maximum((row[:, None] - row).abs(), (column[:, None] - column).abs())
    label = torch.rand(count, generator=rng) > 0.5
    here = torch.randint(0, side * side, (count,), generator=rng)
    least, most = (torch.where(label, near[i], far[i])[:, None] for i in (0, 1))
    may_be = (distance[here] >= least) & (distance[here] <= most)
    there = torch.multinomial(may_be.float(), 1, generator=rng)[:, 0]
    maps = [8.0 * nn.functional.one_hot(cell, side * side)[..., None].float() for cell in (here, there)]
    return maps, label.float()[:, None]


LOOKUP_KEYS, LOOKUP_VALUES, LOOKUP_PAIRS = 8, 4, 6
LOOKUP_FEATURES = LOOKUP_KEYS + LOOKUP_VALUES


def lookup(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """One asking token (a key), six answering tokens (key, value) in random order, and the value that belongs to it."""
    rng = np.random.default_rng(seed)
    keys = np.stack([rng.permutation(LOOKUP_KEYS)[:LOOKUP_PAIRS] for _ in range(count)])
    values = rng.integers(0, LOOKUP_VALUES, (count, LOOKUP_PAIRS))
    row, asked = np.arange(count), rng.integers(0, LOOKUP_PAIRS, count)
    ask = np.zeros((count, 1, LOOKUP_FEATURES), np.float32)
    ask[row, 0, keys[row, asked]] = 1
    answer = np.concatenate([np.eye(LOOKUP_KEYS)[keys], np.eye(LOOKUP_VALUES)[values]], axis=2).astype(np.float32)
    return [torch.from_numpy(ask), torch.from_numpy(answer)], torch.from_numpy(values[row, asked])


class Pooling(nn.Module):
    """A network on the asking token and the mean of the answering ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * LOOKUP_FEATURES, 64), nn.ReLU(), nn.Linear(64, LOOKUP_VALUES))

    def forward(self, ask: Tensor, answer: Tensor) -> Tensor:
        return self.layers(torch.cat([ask[:, 0], answer.mean(dim=1)], dim=1))


BOTH_KEYS = 3
BOTH_TOKENS, BOTH_FEATURES = BOTH_KEYS + 1, 2 * BOTH_KEYS + 2


def both_ways(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Two modalities: each a table of three tokens (key, bit) and one token that asks for a key of the other's.

    The target is what a finds in b, what b finds in a, and the exclusive or of both (count, 3).
    """
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (2, count, BOTH_KEYS))
    asked = rng.integers(0, BOTH_KEYS, (2, count))
    x = np.zeros((2, count, BOTH_TOKENS, BOTH_FEATURES), np.float32)
    x[:, :, :BOTH_KEYS, :BOTH_KEYS] = np.eye(BOTH_KEYS)
    x[:, :, :BOTH_KEYS, BOTH_KEYS] = bits
    x[:, :, :BOTH_KEYS, BOTH_KEYS + 1] = 1 - bits
    x[:, :, BOTH_KEYS, BOTH_KEYS + 2 :] = np.eye(BOTH_KEYS)[asked]
    found = np.stack([bits[1 - m][np.arange(count), asked[m]] for m in (0, 1)])
    target = np.stack([found[0], found[1], found[0] ^ found[1]], axis=1).astype(np.float32)
    return [torch.from_numpy(m) for m in x], torch.from_numpy(target)


@torch.no_grad()
def each_right(model: nn.Module, inputs: Sequence[Tensor], target: Tensor) -> list[float]:
    """Share of right answers for each of several logits and labels of 1 or 0 (B, K)."""
    return ((model(*inputs) > 0).float() == target).float().mean(dim=0).tolist()


def fit(
    model: nn.Module,
    inputs: Sequence[Tensor],
    target: Tensor,
    steps: int = 300,
    rate: float = 0.01,
    batch: int = 256,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.binary_cross_entropy_with_logits,
) -> nn.Module:
    """The model, trained by Adam on random batches; what a `Read`'s method adds to the loss is added. Then in eval."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    order = np.random.default_rng(1)
    model.train()
    for _ in range(steps):
        pick = torch.from_numpy(order.integers(0, len(target), batch))
        total = loss(model(*[x[pick] for x in inputs]), target[pick]) + getattr(model, "added", 0.0)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Sequence[Tensor], label: Tensor) -> float:
    """Share of right answers; labels are 1 or 0 (B, 1) for one logit, else class numbers (B,)."""
    out = model(*inputs)
    right = (out > 0).float() == label if out.shape[1] == 1 else out.argmax(dim=1) == label
    return float(right.float().mean())
