"""Co-attention must act on what it was asked: an exclusive or of what each of two streams looks up in the other."""

import pytest

torch = pytest.importorskip("torch")
from tasks import BOTH_FEATURES, BOTH_TOKENS, Read, both_ways, each_right, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.co_attention import CoAttentionFusion  # noqa: E402
from sensorfuse.fusion.methods.cross_modal_attention import CrossModalAttentionFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402


class ReadAsking(Read):
    """Reads the place of the asking tokens alone."""

    def forward(self, *modalities: Tensor) -> Tensor:
        fused, _ = self.fusion(*modalities, torch.ones(len(modalities[0]), len(modalities)))
        return self.read(fused[:, -1])


def make(kind: type[nn.Module], seed: int = 0) -> Read:
    torch.manual_seed(seed)
    fusion = kind(TokenLayout((BOTH_TOKENS, BOTH_TOKENS)), BOTH_FEATURES, 16, attention_width=32)
    return ReadAsking(fusion, 16, 3)


def deaf(model: Read, stream: int) -> None:
    """Cut what one stream hears from the other."""
    for connect in model.fusion.connect:
        nn.init.zeros_(connect.out[stream].weight)


def test_acts_on_what_it_was_asked_both_ways() -> None:
    """Directed attention finds one bit in each stream and can only weight the two: whatever the weights, at most 3 of
    the 4 cases of an exclusive or come out right.
    """
    inputs, target = both_ways(4000, 0)
    model, directed = make(CoAttentionFusion), make(CrossModalAttentionFusion)
    for one in (model, directed):
        fit(one, inputs, target, steps=100, rate=0.01, batch=128)
    inputs, target = both_ways(1000, 99)
    assert min(each_right(model, inputs, target)) >= 0.95
    assert each_right(directed, inputs, target)[2] <= 0.8
    trained = {k: v.clone() for k, v in model.state_dict().items()}
    for stream in (0, 1):
        model.load_state_dict(trained)
        deaf(model, stream)
        assert min(each_right(model, inputs, target)) <= 0.8, "what this stream hears makes no difference"
