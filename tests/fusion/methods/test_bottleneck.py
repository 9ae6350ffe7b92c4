"""Streams with a bottleneck must learn products of modalities, and by nothing but the bottleneck."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, Read, accuracy, fit, products  # noqa: E402
from torch import nn  # noqa: E402

from sensorfuse.fusion.methods.bottleneck import BottleneckFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402


def bottleneck(seed: int = 0) -> Read:
    torch.manual_seed(seed)
    return Read(BottleneckFusion(TokenLayout((1, 1)), FEATURES, 16, attention_width=32), 16)


def closed(model: Read) -> Read:
    """The same with no tokens in the bottleneck: two transformers and a weighted mean."""
    model.fusion.bottleneck = nn.Parameter(model.fusion.bottleneck.detach()[:0])
    return model


def test_products_pass_through_the_bottleneck() -> None:
    """The weighted mean alone gets 3 of the 4 cases of signs, and no more."""
    inputs, label = products(2, 4000, 0)
    model, apart = bottleneck(), closed(bottleneck())
    fit(model, inputs, label, steps=180, rate=0.006, batch=128)
    fit(apart, inputs, label, steps=80, rate=0.006, batch=128)
    inputs, label = products(2, 2000, 99)
    assert accuracy(model, inputs, label) >= 0.92
    assert accuracy(apart, inputs, label) <= 0.8


def test_nothing_passes_beside_the_bottleneck() -> None:
    torch.manual_seed(0)
    fusion = BottleneckFusion(TokenLayout((6, 6)), 4, 8)
    a, b, present = torch.randn(1, 6, 4), torch.randn(1, 6, 4), torch.ones(1, 2)
    streams: list[torch.Tensor] = []
    fusion.read.register_forward_pre_hook(lambda _, given: streams.append(given[1][0]))
    with torch.no_grad():
        for _ in range(2):
            fusion(a, b, present)
            fusion(a, b + 1.0, present)
            fusion(a, b + 1.0, torch.tensor([[1.0, 0.0]]))
            fusion(a, b, torch.tensor([[1.0, 0.0]]))
            fusion.bottleneck = nn.Parameter(fusion.bottleneck[:0])
    assert not torch.allclose(streams[0], streams[1], atol=1e-5)  # a's stream hears of b
    assert torch.equal(streams[2], streams[3])  # unless b is absent
    assert torch.equal(streams[4], streams[5])  # or the bottleneck has no tokens
