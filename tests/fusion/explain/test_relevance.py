"""Relevance through the attending methods: it lies on the token that was looked up, and depends on the weights."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.explain.relevance import (  # noqa: E402
    ATTENDING,
    load_network,
    object_relevance,
    token_relevance,
)
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.model import FusionNetwork  # noqa: E402
from sensorfuse.fusion.strategies import find_strategy, load_class  # noqa: E402
from sensorfuse.messages import MODALITIES, Detections  # noqa: E402

torch.set_num_threads(1)
PAIRS, VALUES, C = 6, 4, 12
LAYOUT = TokenLayout((16, 16, 1), (4, 4), 2)


def lookup(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An asking token (a key), answering tokens (key, value), the value asked for, and where it stands."""
    rng = np.random.default_rng(seed)
    keys = np.stack([rng.permutation(C - VALUES)[:PAIRS] for _ in range(count)])
    values, asked, row = rng.integers(0, VALUES, (count, PAIRS)), rng.integers(0, PAIRS, count), np.arange(count)
    ask = np.zeros((count, 1, C), np.float32)
    ask[row, 0, keys[row, asked]] = 1
    answer = np.concatenate([np.eye(C - VALUES)[keys], np.eye(VALUES)[values]], axis=2).astype(np.float32)
    return tuple(map(torch.from_numpy, (ask, answer, values[row, asked], asked)))  # type: ignore[return-value]


@pytest.mark.parametrize("strategy", ["cross_modal_attention", "single_stream"])
def test_what_was_looked_up_gets_the_relevance(strategy: str) -> None:
    torch.manual_seed(0)
    method = load_class(find_strategy(strategy).method)(TokenLayout((1, PAIRS)), C, 32, attention_width=32)
    read = nn.Linear(32, VALUES)
    ask, answer, value, _ = lookup(6000, 0)
    order = np.random.default_rng(1)
    optimizer = torch.optim.Adam([*method.parameters(), *read.parameters()], lr=0.01)
    everyone = torch.ones(96, 2)
    for _ in range(90):
        pick = torch.from_numpy(order.integers(0, len(ask), 96))
        loss = nn.functional.cross_entropy(read(method(ask[pick], answer[pick], everyone)[0].mean(dim=1)), value[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    method.eval()
    ask, answer, value, asked = lookup(40, 9)
    right = []
    for n in range(len(ask)):

        def logit(fused: Tensor, n: int = n) -> Tensor:
            return read(fused.mean(dim=1))[0, value[n]]

        _, found = token_relevance(method, [ask[n : n + 1], answer[n : n + 1]], torch.ones(1, 2), logit)
        right.append(int(found.argmax()) == int(asked[n]))
    assert np.mean(right) >= 0.9  # by chance 1 in 6


def make_method(strategy: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    method: nn.Module = load_class(find_strategy(strategy).method)(LAYOUT, 5, 6, attention_width=8)
    return method.eval()


def energy(fused: Tensor) -> Tensor:
    return fused.square().sum()


def make_tokens() -> list[Tensor]:
    rng = torch.Generator().manual_seed(3)
    return [torch.rand(1, n, 5, generator=rng) for n in LAYOUT.counts]


@pytest.mark.parametrize("strategy", ATTENDING)
def test_depends_on_the_weights_and_on_who_is_there(strategy: str) -> None:
    tokens, everyone = make_tokens(), torch.ones(1, 3)
    found = [token_relevance(make_method(strategy, k), tokens, everyone, energy) for k in (0, 0, 1)]
    flat = [torch.cat(f) / torch.cat(f).sum() for f in found]
    assert [len(x) for x in found[0]] == [4, 4, 1]
    assert torch.equal(flat[0], flat[1])
    assert (flat[0] - flat[2]).abs().sum() > 0.1
    assert (flat[0] >= 0).all()
    alone = token_relevance(make_method(strategy), tokens, torch.tensor([[1.0, 0.0, 0.0]]), energy)
    assert alone[0].max() > 0
    assert not alone[1].any()
    assert not alone[2].any()


@pytest.mark.parametrize("strategy", ATTENDING)
def test_a_source_of_one_token_is_heard(strategy: str) -> None:
    found = token_relevance(make_method(strategy), make_tokens(), torch.ones(1, 3), energy)
    assert found[2] > 0


def test_a_closed_gate_has_no_relevance() -> None:
    method = make_method("gated_cross_attention")
    method.blocks["1"].gates.data.zero_()
    found = token_relevance(method, make_tokens(), torch.ones(1, 3), energy)
    assert not found[1].any()
    assert found[2].any()


def test_a_method_without_attention_is_refused() -> None:
    method = load_class(find_strategy("early").method)(LAYOUT, 5, 6)
    with pytest.raises(SensorfuseError, match="does not attend"):
        token_relevance(method, make_tokens(), torch.ones(1, 3), lambda f: f.sum())


def test_on_the_grid_it_lies_where_the_object_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(FusionNetwork("bottleneck").state_dict(), tmp_path / "w.safetensors")
    network = load_network("bottleneck", tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    inputs = {m: rng.random((1, 24, *((64, 64) if m in MODALITIES[:3] else ()))).astype(np.float32) for m in MODALITIES}
    inputs["present"] = np.array([[1, 1, 0, 1, 1]], np.float32)
    one = Detections.empty()
    one = Detections(*(np.zeros((1, *getattr(one, f).shape[1:]), getattr(one, f).dtype) for f in vars(one)))
    one.center[0] = 20.6, -10.6, 0
    found = object_relevance(network, inputs, one)
    assert list(found) == ["camera", "lidar"]
    for each in found.values():
        assert each.shape == (64, 64)
        i, j = np.unravel_index(each.argmax(), each.shape)
        assert np.hypot((i - 31.5) * 1.25 - 20.6, (j - 31.5) * 1.25 + 10.6) < 10
    with pytest.raises(SensorfuseError, match="no weights of co_attention"):
        load_network("co_attention", tmp_path / "w.safetensors")
