"""One transformer over all tokens must look up the value whose key matches, and know what a token is and where."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tasks import LOOKUP_FEATURES, LOOKUP_PAIRS, LOOKUP_VALUES, Pooling, Read, accuracy, fit, lookup  # noqa: E402
from torch import nn  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.single_stream import SingleStreamFusion, coarser  # noqa: E402


def single_stream(seed: int = 0) -> Read:
    torch.manual_seed(seed)
    fusion = SingleStreamFusion(TokenLayout((1, LOOKUP_PAIRS)), LOOKUP_FEATURES, 16, attention_width=32)
    return Read(fusion, 16, LOOKUP_VALUES)


def test_looks_up_what_pooling_cannot() -> None:
    inputs, label = lookup(8000, 0)
    model, pooling = single_stream(), Pooling()
    fit(model, inputs, label, steps=200, rate=0.004, batch=128, loss=nn.functional.cross_entropy)
    fit(pooling, inputs, label, steps=200, rate=0.004, loss=nn.functional.cross_entropy)
    inputs, label = lookup(2000, 99)
    assert accuracy(pooling, inputs, label) <= 0.6
    assert accuracy(model, inputs, label) >= 0.95


def test_a_token_knows_what_it_is_and_where() -> None:
    torch.manual_seed(0)
    fusion = SingleStreamFusion(TokenLayout((6, 6)), 4, 8)
    with torch.no_grad():
        for linear in (fusion.embed.project[1], fusion.read.fine[1], fusion.read.score[1]):
            twin = {id(fusion.embed.project[1]): fusion.embed.project[0], id(fusion.read.fine[1]): fusion.read.fine[0]}
            linear.load_state_dict(twin.get(id(linear), fusion.read.score[0]).state_dict())
        a, b, present = torch.randn(1, 6, 4), torch.randn(1, 6, 4), torch.ones(1, 2)
        fused, _ = fusion(a, b, present)
        assert not torch.allclose(fusion(b, a, present)[0], fused, atol=1e-5)  # the same maps: types tell them apart
        order = torch.from_numpy(np.roll(np.arange(6), 1))
        assert not torch.allclose(fusion(a[:, order], b[:, order], present)[0], fused[:, order], atol=1e-5)
        fusion.embed.kind.zero_()
        fusion.embed.place.zero_()
        assert torch.allclose(fusion(b, a, present)[0], fusion(a, b, present)[0], atol=1e-5)
        again = fusion(a[:, order], b[:, order], present)[0]
        assert torch.allclose(again, fusion(a, b, present)[0][:, order], atol=1e-5)


def test_patches_grow_where_tokens_would_be_too_many() -> None:
    layout = TokenLayout((4096, 4096, 1), grid=(64, 64), patch=4)
    assert coarser(layout, 512) == layout
    assert coarser(layout, 511).patch == 8
    assert coarser(layout, 1).patch == 64
    assert coarser(TokenLayout((4096, 4096)), 1).patch == 1
