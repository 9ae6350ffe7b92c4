"""Search for a fusion network's wiring: progressive, guided by a surrogate that learns which wirings do well. Torch;
training only.

    python -m sensorfuse.fusion.training.search --data DATA --encoders encoders.safetensors

prints the genotype for `methods.searched` that does best on the small driving task, and what random search finds with
as many trials. Half of the held-out worlds choose, the other half say how well the chosen does.

Method: the sequential model-based search of MFAS (Perez-Rua et al., CVPR 2019). For every iteration and every number of
layers l, all options of a layer are put on top of the networks kept with l - 1 layers; a surrogate predicts how well
each would do; K of them that were not tried yet are drawn, the likelier the better they look, and tried; the surrogate
learns from all that was tried. The temperature of the draw falls: at first almost anything, in the end the best.

Departures: the surrogate reads choices one-hot, for they have no order; the first time nothing is trained in full,
options are drawn blindly; draws go by exp(z / T) of the standardised prediction z, so that any score will do, not only
an accuracy. The best few are tried again with more effort before one is chosen, for short trials rank poorly.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.grid import FEATURES
from sensorfuse.fusion.methods.searched import ACTIVATIONS, TAPS, Genotype, SearchedFusion
from sensorfuse.messages import MODALITIES

Layer = tuple[int, ...]
Wiring = tuple[Layer, ...]
"""Per layer, one choice for each slot."""
Evaluate = Callable[[Wiring], float]
"""How well a wiring does: more is better."""


@dataclass(frozen=True)
class SearchSpace:
    """`slots[s]` options for slot s of every layer; 1 to `layers` layers."""

    slots: tuple[int, ...]
    layers: int

    @property
    def options(self) -> list[Layer]:
        return list(itertools.product(*map(range, self.slots)))

    @property
    def size(self) -> int:
        """How many wirings there are."""
        each = int(np.prod(self.slots))
        return sum(each**n for n in range(1, self.layers + 1))


@dataclass(frozen=True)
class SearchConfig:
    """`kept` wirings are tried per step, in `iterations` x layers steps; `finalists` are tried again."""

    iterations: int = 3
    kept: int = 8
    finalists: int = 3
    hot: float = 3.0
    cold: float = 0.1
    decay: float = 2.0
    seed: int = 0

    def temperature(self, iteration: int) -> float:
        return (self.hot - self.cold) * float(np.exp(-(((iteration + 1) / self.decay) ** 2))) + self.cold


@dataclass
class SearchResult:
    """The wiring chosen, its score, and all that was tried, in order."""

    best: Wiring
    score: float
    tried: dict[Wiring, float] = field(default_factory=dict)


class Surrogate(nn.Module):
    """Predicts a wiring's score: each layer's choices, one-hot, go through an LSTM."""

    def __init__(self, space: SearchSpace, hidden: int = 32) -> None:
        super().__init__()
        self.slots = space.slots
        self.embed = nn.Linear(sum(space.slots), hidden)
        self.recur = nn.LSTM(hidden, hidden, batch_first=True)
        self.read = nn.Linear(hidden, 1)
        self.middle, self.spread = 0.0, 1.0

    def forward(self, wirings: Tensor) -> Tensor:
        """Choices (B, L, slots), all of one length -> standardised scores (B,)."""
        hot = [nn.functional.one_hot(wirings[..., s], n) for s, n in enumerate(self.slots)]
        states, _ = self.recur(torch.sigmoid(self.embed(torch.cat(hot, dim=-1).float())))
        out: Tensor = self.read(states[:, -1])[:, 0]
        return out

    def learn(self, tried: dict[Wiring, float], steps: int = 60) -> None:
        """Fit all that was tried."""
        scores = np.array(list(tried.values()))
        self.middle, self.spread = float(scores.mean()), float(scores.std()) + 1e-9
        groups = []
        for length in sorted({len(w) for w in tried}):
            some = [w for w in tried if len(w) == length]
            wanted = torch.tensor([(tried[w] - self.middle) / self.spread for w in some], dtype=torch.float32)
            groups.append((torch.tensor(some), wanted))
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02, weight_decay=1e-4)
        for _ in range(steps):
            loss = torch.stack([(self(some) - wanted).square().sum() for some, wanted in groups]).sum() / len(tried)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def predict(self, wirings: Sequence[Wiring]) -> NDArray[np.float64]:
        """Standardised scores of wirings of one length."""
        return self(torch.tensor(wirings)).double().numpy()  # type: ignore[no-any-return]


def _draw(
    candidates: list[Wiring], scores: NDArray[np.float64], count: int, temperature: float, rng: np.random.Generator
) -> list[Wiring]:
    """Some candidates without repetition, with chances exp(z / T); by the Gumbel trick."""
    noisy = scores / temperature + rng.gumbel(size=len(scores))
    return [candidates[n] for n in np.argsort(-noisy)[:count]]


def progressive_search(
    space: SearchSpace, evaluate: Evaluate, config: SearchConfig | None = None, confirm: Evaluate | None = None
) -> SearchResult:
    """The best wiring found. `confirm` is `evaluate` with more effort, for the finalists; default: they are not tried
    again.
    """
    config = config or SearchConfig()
    rng = np.random.default_rng(config.seed)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        surrogate = Surrogate(space)
        tried: dict[Wiring, float] = {}
        for iteration in range(config.iterations):
            kept: list[Wiring] = [()]
            for length in range(1, space.layers + 1):
                unfolded = [(*below, option) for below in kept for option in space.options]
                fresh = [w for w in unfolded if w not in tried]
                if fresh:
                    scores = surrogate.predict(fresh) if tried else np.zeros(len(fresh))
                    for wiring in _draw(fresh, scores, config.kept, config.temperature(iteration), rng):
                        tried[wiring] = evaluate(wiring)
                    surrogate.learn(tried)
                known = [w for w in tried if len(w) == length]
                kept = sorted(known, key=lambda w: -tried[w])[: config.kept]
    return _choose(tried, config.finalists, confirm)


def random_search(
    space: SearchSpace, evaluate: Evaluate, budget: int, seed: int = 0, confirm: Evaluate | None = None
) -> SearchResult:
    """The best of `budget` different wirings drawn blindly, with every number of layers as likely: what to compare
    with.
    """
    rng = np.random.default_rng(seed)
    tried: dict[Wiring, float] = {}
    while len(tried) < min(budget, space.size):
        wiring = tuple(
            tuple(int(rng.integers(n)) for n in space.slots) for _ in range(int(rng.integers(space.layers)) + 1)
        )
        if wiring not in tried:
            tried[wiring] = evaluate(wiring)
    return _choose(tried, SearchConfig.finalists, confirm)


def _choose(tried: dict[Wiring, float], finalists: int, confirm: Evaluate | None) -> SearchResult:
    ranked = sorted(tried, key=lambda w: -tried[w])
    if confirm is None:
        return SearchResult(ranked[0], tried[ranked[0]], tried)
    final = {w: confirm(w) for w in ranked[:finalists]}
    best = max(final, key=lambda w: final[w])
    return SearchResult(best, final[best], tried)


def genotype_of(wiring: Wiring) -> Genotype:
    """A wiring whose slots are the taps of the modalities, then the activation."""
    return Genotype(tuple(layer[:-1] for layer in wiring), tuple(list(ACTIVATIONS)[layer[-1]] for layer in wiring))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module's text."""
    from sensorfuse.fusion.model import WIDTH
    from sensorfuse.fusion.model_files import weights_folder
    from sensorfuse.fusion.training.coarse_task import COARSE, CoarseTicks, held_out_loss
    from sensorfuse.fusion.training.dataset import read_index

    parser = argparse.ArgumentParser(
        prog="python -m sensorfuse.fusion.training.search", description="search for a genotype"
    )
    parser.add_argument("--data", type=Path, default=Path("out/fusion/data"))
    parser.add_argument("--encoders", type=Path, default=weights_folder() / "encoders.safetensors")
    parser.add_argument("--shards", type=int, default=15, help="worlds to train on")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--kept", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="per trial; the finalists get three times as many")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        index = read_index(given.data)
        training = CoarseTicks([given.data / s for s in index["training"][: given.shards]], given.encoders)
        choosing, reporting = (
            CoarseTicks([given.data / s for s in index["held_out"][k::2]], given.encoders) for k in (0, 1)
        )
    except SensorfuseError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None

    def score(wiring: Wiring, effort: int = 1, ticks: CoarseTicks = choosing) -> float:
        torch.manual_seed(given.seed)
        fusion = SearchedFusion(COARSE, FEATURES, WIDTH, genotype_of(wiring))
        loss = held_out_loss(fusion, training, ticks, effort * given.steps, given.seed)
        print(f"held-out loss {loss:.4f} after {effort * given.steps} steps: {wiring}", file=sys.stderr, flush=True)
        return -loss

    space = SearchSpace((TAPS,) * len(MODALITIES) + (len(ACTIVATIONS),), given.layers)
    config = SearchConfig(given.iterations, given.kept, seed=given.seed)
    found = progressive_search(space, score, config, lambda w: score(w, 3))
    blind = random_search(space, score, len(found.tried), given.seed, lambda w: score(w, 3))
    print(
        f"{space.size} wirings; ticks to train on {len(training)}, choose by {len(choosing)}, report {len(reporting)}"
    )
    for name, result in (("progressive", found), ("random", blind)):
        loss = -score(result.best, 3, reporting)
        print(f"{name}: {len(result.tried)} tried, loss {loss:.4f}, {-result.score:.4f} where it was chosen")
        print(genotype_of(result.best))


if __name__ == "__main__":
    main()
