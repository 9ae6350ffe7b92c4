import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.strategies import STRATEGIES  # noqa: E402
from sensorfuse.fusion.training.activity_data import ACTIONS  # noqa: E402
from sensorfuse.fusion.training.activity_model import (  # noqa: E402
    FEATURES,
    STEPS,
    TOKENS,
    ActivityModel,
    ActivityNetwork,
)

LEARNED = [s.name for s in STRATEGIES if s.kind == "learned"]
SUBSETS = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])


def tokens(batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    inertial, skeleton = (torch.randn((batch, TOKENS, FEATURES), generator=rng) for _ in range(2))
    return inertial, skeleton


def test_encoders_make_tokens_of_windows() -> None:
    torch.manual_seed(0)
    model = ActivityModel(("hybrid",)).eval()
    inertial, skeleton = torch.randn(3, STEPS[0], 5, 3), torch.randn(3, STEPS[1], 20, 3)
    encoded = model.tokens(inertial, skeleton)
    assert [x.shape for x in encoded] == [(3, TOKENS, FEATURES)] * 2
    changed = inertial.clone()
    changed[1, -8:] += 1.0
    away = (model.tokens(changed, skeleton)[0] - encoded[0]).abs().amax(dim=2)
    assert away[1, -1] > 1e-3  # tokens lie along time
    assert (away[1, :8] < 1e-6).all()
    assert (away[[0, 2]] < 1e-6).all()  # and of their own window


@pytest.mark.parametrize("strategy", LEARNED)
def test_every_learned_strategy_serves_every_presence(strategy: str) -> None:
    torch.manual_seed(0)
    network = ActivityNetwork(strategy).eval()
    with torch.no_grad():
        given = tokens(3)
        logits = network(*given, SUBSETS)
        assert logits.shape == (3, ACTIONS)
        assert torch.isfinite(logits).all()
        other = tokens(3, seed=1)
        hidden = network(given[0], other[1], SUBSETS)
        assert torch.allclose(logits[1], hidden[1], atol=1e-5)  # what is absent says nothing
        assert not torch.allclose(logits[2], hidden[2], atol=1e-3)  # what is present does
        for name, loss in network.train().losses(*given, SUBSETS).items():
            assert torch.isfinite(loss), name


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(SensorfuseError, match="no fusion strategy is called 'hybird'"):
        ActivityModel(("hybird",))
