"""The small driving task: what it holds is what the encoders say, and training on it lowers its loss."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from test_examples import write_shard  # noqa: E402

from sensorfuse.fusion.encoders import FEATURES  # noqa: E402
from sensorfuse.fusion.methods.searched import SearchedFusion  # noqa: E402
from sensorfuse.fusion.model import WIDTH  # noqa: E402
from sensorfuse.fusion.model_files import weights_folder  # noqa: E402
from sensorfuse.fusion.training.coarse_task import CELLS, COARSE, CoarseTicks, held_out_loss  # noqa: E402
from sensorfuse.rig import Rig  # noqa: E402


def test_holds_features_and_learns(tmp_path: Path, synthetic_rig: Rig) -> None:
    shard = write_shard(tmp_path / "shard.npz", 4, synthetic_rig)
    ticks = CoarseTicks([shard], weights_folder() / "encoders.safetensors", batch=3)
    assert len(ticks) == 4
    assert [tuple(x.shape) for x in ticks.tokens] == [(4, n, FEATURES) for n in COARSE.counts]
    assert ticks.heat.shape[2:] == (CELLS, CELLS)

    def loss(steps: int) -> float:
        torch.manual_seed(0)
        return held_out_loss(SearchedFusion(COARSE, FEATURES, WIDTH), ticks, ticks, steps, batch=4)

    assert loss(25) < 0.8 * loss(1)
    assert loss(1) == loss(1)
