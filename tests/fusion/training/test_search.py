"""The search must find a planted wiring by trying few, and the networks it tries must be what the genotype says."""

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.searched import FusionLayers, Genotype, SearchedFusion  # noqa: E402
from sensorfuse.fusion.training.search import (  # noqa: E402
    SearchConfig,
    SearchSpace,
    Surrogate,
    Wiring,
    genotype_of,
    progressive_search,
    random_search,
)

DEPTHS, FEATURES, PLANTED = 6, 4, (4, 1)
SPACE = SearchSpace((DEPTHS, DEPTHS, 2), layers=2)


class PlantedTask:
    """Taps of two frozen trunks, independent of each other; one tap of each carries half of the label."""

    def __init__(self, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.taps = [[torch.randn((900, 1, FEATURES), generator=rng) for _ in range(DEPTHS)] for _ in range(2)]
        a, b = (self.taps[m][k][:, 0, 0] for m, k in enumerate(PLANTED))
        self.label = (a + b > 0).float()[:, None]

    def accuracy(self, wiring: Wiring, steps: int = 20) -> float:
        """Train a wiring on the first 600 samples; how often it is right on the others."""
        torch.manual_seed(0)
        layers, read = FusionLayers(genotype_of(wiring), FEATURES, 8), nn.Linear(8, 1)
        optimizer = torch.optim.Adam([*layers.parameters(), *read.parameters()], lr=0.05, fused=True)

        def logits(part: slice) -> Tensor:
            return read(layers([[x[part] for x in taps] for taps in self.taps])[0][:, 0])

        for _ in range(steps):
            loss = nn.functional.binary_cross_entropy_with_logits(logits(slice(600)), self.label[:600])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float(((logits(slice(600, None)) > 0).float() == self.label[600:]).float().mean())


def reads_planted(wiring: Wiring) -> bool:
    """Whether both taps that carry the label are read, in whatever layers."""
    return all(PLANTED[m] in {layer[m] for layer in wiring} for m in range(2))


def test_finds_what_was_planted_by_trying_few() -> None:
    task = PlantedTask(0)
    found = progressive_search(SPACE, task.accuracy, SearchConfig(iterations=4, kept=5))
    blind = random_search(SPACE, task.accuracy, len(found.tried))
    print(f"tried {len(found.tried)} of {SPACE.size}: {found.score:.3f} {found.best}; random {blind.score:.3f}")
    assert reads_planted(found.best)
    assert found.score >= 0.95
    assert len(found.tried) <= 40 < SPACE.size // 100
    assert len(blind.tried) == len(found.tried)


def additive(wiring: Wiring) -> float:
    return -sum(abs(c - 1) for layer in wiring for c in layer) / len(wiring)


def test_same_seed_same_search_and_finalists_are_tried_again() -> None:
    space, config = SearchSpace((3, 3), 2), SearchConfig(iterations=2, kept=3)
    state = torch.get_rng_state()
    first, second = (progressive_search(space, additive, config) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert list(first.tried.items()) == list(second.tried.items())
    again: list[Wiring] = []
    chosen = progressive_search(space, additive, config, confirm=lambda w: again.append(w) or -float(len(again)))
    assert len(again) == config.finalists
    assert chosen.best == again[0]
    assert chosen.score == -1


def test_a_small_space_is_exhausted_without_repeats() -> None:
    space = SearchSpace((2, 2), 1)
    seen: list[Wiring] = []
    progressive_search(space, lambda w: seen.append(w) or 0.0, SearchConfig(iterations=3, kept=3))
    assert len(seen) == len(set(seen)) == space.size == 4
    assert len(random_search(space, additive, 100).tried) == 4


def test_surrogate_ranks_what_it_has_not_seen() -> None:
    torch.manual_seed(0)
    space = SearchSpace((4, 4), 1)
    every = [(option,) for option in space.options]
    score = {w: float(w[0][0] == 2) + 0.5 * float(w[0][1] == 3) for w in every}
    unseen = [((2, 3),), ((0, 0),)]
    surrogate = Surrogate(space)
    surrogate.learn({w: s for w, s in score.items() if w not in unseen}, steps=150)
    predicted = surrogate.predict(unseen)
    assert predicted[0] > predicted[1] + 1.0


def test_layers_are_what_the_genotype_says() -> None:
    torch.manual_seed(0)
    layers = FusionLayers(Genotype(((0, 2), (1, 0)), ("relu", "sigmoid")), 3, 5).double()
    taps = [[torch.randn(2, 4, 3, dtype=torch.float64) for _ in range(3)] for _ in range(2)]
    h, _ = layers(taps)
    first = torch.relu(layers.enter[0](taps[0][0]) + layers.enter[1](taps[1][2]) + layers.bias[0])
    second = layers.enter[2](taps[0][1]) + layers.enter[3](taps[1][0]) + layers.onward[0](first) + layers.bias[1]
    torch.testing.assert_close(h, torch.sigmoid(second), atol=1e-12, rtol=0)


def test_a_deeper_tap_sees_further() -> None:
    torch.manual_seed(0)
    layout = TokenLayout((49,), grid=(7, 7))
    for depth, reach in ((0, 1), (1, 9), (2, 25)):
        fusion = SearchedFusion(layout, 3, 4, Genotype(((depth,),), ("sigmoid",)))
        x = torch.randn(1, 49, 3)
        other = x.clone()
        other[0, 24] += 3.0
        present = torch.ones(1, 1)
        changed = (fusion(x, present)[0] != fusion(other, present)[0]).any(dim=-1)
        assert int(changed.sum()) <= reach
        assert int(changed.sum()) > reach / 2
        assert len(fusion.trunks[0]) == depth


def test_a_genotype_must_be_whole() -> None:
    with pytest.raises(AssertionError, match="activations are"):
        Genotype(((0, 1),), ("none",))
    with pytest.raises(AssertionError, match="one activation per layer"):
        Genotype(((0, 1),), ("relu", "relu"))
    assert Genotype(((0, 2), (1, 0)), ("relu", "sigmoid")).of(3).taps == ((0, 2, 0), (1, 0, 1))
    assert np.prod(SPACE.slots) == len(SPACE.options)
