"""Whole networks: every learned strategy runs on the driving task, gradients and all."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.export import fusion_examples  # noqa: E402
from sensorfuse.fusion.grid import GRID  # noqa: E402
from sensorfuse.fusion.model import FusionNetwork  # noqa: E402
from sensorfuse.fusion.strategies import STRATEGIES  # noqa: E402
from sensorfuse.messages import MODALITIES  # noqa: E402

LEARNED = [s.name for s in STRATEGIES if s.kind == "learned"]
WITH_LOSSES = {"auto_fusion", "channel_exchange", "coordinated", "gan_fusion", "product_of_experts"}


@pytest.mark.parametrize("name", LEARNED)
def test_every_strategy_runs_and_learns_on_the_driving_task(name: str) -> None:
    torch.manual_seed(0)
    network = FusionNetwork(name)
    inputs = list(fusion_examples(network, 2).values())[: len(MODALITIES) + 1]
    heat, _, motion, sound, weights, *_ = network(*inputs)
    assert heat.shape == (2, 3, GRID.cells, GRID.cells)
    assert weights.shape == (2, len(MODALITIES))
    assert (weights[inputs[-1] == 0] == 0).all()
    own = network.losses(*inputs)
    assert bool(own) == (name in WITH_LOSSES)
    loss = heat.square().mean() + motion.square().mean() + sound.square().mean() + sum(own.values())
    assert torch.isfinite(loss)
    loss.backward()
    for part in (network.on_grid, network.on_scene):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())


def test_what_has_no_network_is_said() -> None:
    with pytest.raises(SensorfuseError, match="no fusion strategy is called 'hybird'"):
        FusionNetwork("hybird")
    with pytest.raises(SensorfuseError, match="'late' is not learned"):
        FusionNetwork("late")
