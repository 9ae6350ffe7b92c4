"""Cross-modal attention must look up the value whose key matches: pooling cannot (chance is 1 in 4)."""

import pytest

torch = pytest.importorskip("torch")
from tasks import LOOKUP_FEATURES, LOOKUP_PAIRS, LOOKUP_VALUES, Pooling, Read, accuracy, fit, lookup  # noqa: E402
from torch import nn  # noqa: E402

from sensorfuse.fusion.methods.cross_modal_attention import CrossModalAttentionFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402


def test_looks_up_what_pooling_cannot() -> None:
    torch.manual_seed(0)
    pooling = Pooling()
    fusion = CrossModalAttentionFusion(TokenLayout((1, LOOKUP_PAIRS)), LOOKUP_FEATURES, 32, attention_width=32)
    model = Read(fusion, 32, LOOKUP_VALUES)
    inputs, value = lookup(8000, 0)
    for one in (pooling, model):
        fit(one, inputs, value, steps=200, rate=0.003, loss=nn.functional.cross_entropy)
    inputs, value = lookup(2000, 99)
    assert accuracy(pooling, inputs, value) <= 0.6
    assert accuracy(model, inputs, value) >= 0.95


def make_grid_fusion() -> CrossModalAttentionFusion:
    torch.manual_seed(0)
    return CrossModalAttentionFusion(TokenLayout((96, 96, 1), (8, 12), 4), 5, 6, attention_width=8)


def test_a_change_in_one_source_reaches_distant_cells_of_the_target() -> None:
    fusion = make_grid_fusion()
    a, b, vector, present = torch.randn(1, 96, 5), torch.randn(1, 96, 5), torch.randn(1, 1, 5), torch.ones(1, 3)
    before, weights = fusion(a, b, vector, present)
    assert before.shape == (1, 96, 6)
    assert weights[0, :2].sum().item() == pytest.approx(1, abs=1e-6)
    assert weights[0, 2] == 0
    b[0, 0] += 3.0
    after, _ = fusion(a, b, vector, present)
    assert ((after - before).abs().amax(dim=-1) > 1e-7).float().mean() > 0.9
