"""What every fusion method owes: absence, export, state. One row of the strategy table each, on a grid and in time."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine  # noqa: E402
from sensorfuse.fusion.export import PARITY, export  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.strategies import STRATEGIES, load_class  # noqa: E402

FEATURES, WIDTH = 6, 8
LAYOUTS = {
    "grid": TokenLayout((16, 16, 16, 1, 1), grid=(4, 4), patch=2),
    "time": TokenLayout((8, 8, 8, 1, 1)),
    "vectors": TokenLayout((1, 1)),
}
METHODS = {s.name: load_class(s.method) for s in STRATEGIES if s.kind == "learned"}


def make(name: str, layout: TokenLayout) -> nn.Module:
    torch.manual_seed(0)
    method: nn.Module = METHODS[name](layout, FEATURES, WIDTH)
    return method.eval()


def subsets(modalities: int) -> Tensor:
    """Every presence but nobody's, (2^M - 1, M)."""
    return torch.tensor([s for s in itertools.product([0.0, 1.0], repeat=modalities) if any(s)])


def draw(layout: TokenLayout, batch: int, seed: int = 1) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn((batch, n, FEATURES), generator=rng) for n in layout.counts]


def state_of(method: nn.Module, batch: int) -> tuple[Tensor, ...]:
    return tuple(method.initial_state(batch)) if hasattr(method, "initial_state") else ()


both = pytest.mark.parametrize(("name", "layout"), list(itertools.product(METHODS, LAYOUTS)))


@both
def test_every_subset_and_nothing_from_the_absent(name: str, layout: str) -> None:
    method, lay = make(name, LAYOUTS[layout]), LAYOUTS[layout]
    present = subsets(lay.modalities)
    tokens, state = draw(lay, len(present)), state_of(method, len(present))
    with torch.no_grad():
        fused, weights, *after = method(*tokens, present, *state)
        assert fused.shape == (len(present), lay.length, WIDTH)
        assert weights.shape == present.shape
        assert all(torch.isfinite(x).all() for x in (fused, weights, *after))
        assert (weights[present == 0] == 0).all()
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(dim=1)[-1:], torch.ones(1))
        for value in (float("nan"), float("inf"), 1e9):
            gone = [torch.where(present[:, m, None, None] > 0, x, torch.tensor(value)) for m, x in enumerate(tokens)]
            for x, y in zip((fused, weights, *after), method(*gone, present, *state), strict=True):
                assert torch.equal(x, y)


@both
def test_whoever_is_there_counts(name: str, layout: str) -> None:
    method, lay = make(name, LAYOUTS[layout]), LAYOUTS[layout]
    tokens, state = draw(lay, 2), state_of(method, 2)
    present = torch.ones(2, lay.modalities)
    with torch.no_grad():
        fused = method(*tokens, present, *state)[0]
        for m in range(lay.modalities):
            others = [torch.flip(x, (0,)) + 1.0 if n == m else x for n, x in enumerate(tokens)]
            changed = method(*others, present, *state)
            assert any((a != b).any() for a, b in zip(changed, method(*tokens, present, *state), strict=True)), m
            without = present.clone()
            without[:, m] = 0
            if lay.modalities > 1:
                assert (method(*tokens, without, *state)[0] != fused).any(), m


@pytest.mark.parametrize("name", METHODS)
def test_exports_with_parity_at_other_batches(name: str, tmp_path: Path) -> None:
    lay, path = TokenLayout((16, 16, 1), grid=(4, 4), patch=2), tmp_path / "method.onnx"
    method = make(name, lay)
    names = [f"x{m}" for m in range(lay.modalities)] + ["present"]
    state = state_of(method, 2)
    names += [f"s{i}" for i in range(len(state))]
    outputs = ["fused", "weights"] + [f"s{i}_next" for i in range(len(state))]
    method.forward = _positional(method, names)  # type: ignore[method-assign]
    present = torch.ones(2, lay.modalities)
    export(method, dict(zip(names, (*draw(lay, 2), present, *state), strict=True)), tuple(outputs), path)
    engine = OnnxRuntimeEngine(path, 1)
    for batch in (1, 3):
        present = subsets(lay.modalities)[-batch:].flip(0)
        inputs = (*draw(lay, batch, batch), present, *(torch.randn_like(s) for s in state_of(method, batch)))
        got = engine.run({n: x.numpy() for n, x in zip(names, inputs, strict=True)})
        with torch.no_grad():
            for key, want in zip(outputs, method(*inputs), strict=True):
                np.testing.assert_allclose(got[key], want.numpy(), atol=PARITY)


def _positional(method: nn.Module, names: list[str]) -> object:
    """`forward` with as many named arguments as there are inputs: the exporter maps shapes to names."""
    scope: dict[str, object] = {"inner": method.forward}
    exec(f"def forward({', '.join(names)}): return inner({', '.join(names)})", scope)
    return scope["forward"]


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_parameter(name: str) -> None:
    layout = LAYOUTS["grid"]
    method = make(name, layout).train()
    rng = torch.Generator().manual_seed(5)
    present = (torch.rand((12, layout.modalities), generator=rng) > 0.4).float()
    present[:, 0] = 1
    present[0, 0], present[0, 1] = 0, 1
    inputs = (*draw(layout, 12), present)
    fused, _, *after = method(*inputs, *state_of(method, 12))
    loss = (fused * torch.randn_like(fused)).sum() + sum(x.square().sum() for x in after)
    if after:  # what a state is for shows one step on
        loss = loss + (method(*inputs, *after)[0] * torch.randn_like(fused)).sum()
    if hasattr(method, "losses"):
        loss = loss + sum(method.losses(*inputs).values())
    loss.backward()
    silent = [n for n, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not silent, silent
