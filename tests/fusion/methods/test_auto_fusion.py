"""Auto-fusion's rebuilding error must show a sensor that is sound by itself and does not fit the others."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.auto_fusion import AutoFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

MODALITIES, LATENTS = 3, 6


def scene(count: int, seed: int) -> list[Tensor]:
    """Three modalities (count, 1, 8), each a linear view of the same six hidden numbers."""
    views = torch.randn((MODALITIES, LATENTS, FEATURES), generator=torch.Generator().manual_seed(7)) * LATENTS**-0.5
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.randn((count, LATENTS), generator=rng)
    return [(hidden @ v + 0.05 * torch.randn((count, FEATURES), generator=rng))[:, None] for v in views]


def with_fault(tokens: list[Tensor], fault: str) -> list[Tensor]:
    """The first modality: another moment's, one moment's for ever, or zeros."""
    first = tokens[0]
    broken = {"swapped": first.roll(1, 0), "stuck": first[:1].expand_as(first), "zeroed": torch.zeros_like(first)}
    return [broken[fault], *tokens[1:]]


def ranked_above(faulty: Tensor, sound: Tensor) -> float:
    """Area under the ROC curve: how often a faulty one scores above a sound one."""
    return float((faulty[:, None] > sound[None]).float().mean())


class Rebuild(nn.Module):
    """The method's own loss and no task: of all modalities, or of the first by itself."""

    def __init__(self, together: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.together = together
        counts = (1,) * (MODALITIES if together else 1)
        self.fusion = AutoFusion(TokenLayout(counts), FEATURES, 12, scale=1.0)

    def given(self, tokens: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the method is given: tokens and presence."""
        some = tokens if self.together else tokens[:1]
        return (*some, torch.ones(len(some[0]), len(some)))

    def scores(self, *tokens: Tensor) -> Tensor:
        """Error of the first modality (B,)."""
        return self.fusion.fault_scores(*self.given(tokens))[:, 0]

    def forward(self, *tokens: Tensor) -> Tensor:
        return self.fusion.losses(*self.given(tokens))["rebuild"]


@pytest.fixture(scope="module")
def trained() -> dict[bool, Rebuild]:
    tokens = scene(4000, 0)
    return {
        together: fit(Rebuild(together), tokens, torch.zeros(4000), steps=300, loss=lambda loss, _: loss)
        for together in (True, False)
    }


def area(model: Rebuild, fault: str) -> float:
    tokens = scene(600, 99)
    with torch.no_grad():
        return ranked_above(model.scores(*with_fault(tokens, fault)), model.scores(*tokens))


def test_error_shows_a_fault_that_the_modality_alone_does_not(trained: dict[bool, Rebuild]) -> None:
    assert area(trained[True], "swapped") >= 0.95
    assert 0.4 <= area(trained[False], "swapped") <= 0.6


@pytest.mark.parametrize("fault", ["stuck", "zeroed"])
def test_error_shows_a_sensor_that_says_always_the_same(trained: dict[bool, Rebuild], fault: str) -> None:
    assert area(trained[True], fault) >= 0.95


def test_the_absent_are_not_rebuilt_and_targets_do_not_move() -> None:
    fusion = AutoFusion(TokenLayout((4, 1)), FEATURES, 5)
    x = torch.randn(3, 4, FEATURES, requires_grad=True)
    present = torch.tensor([[1.0, 0.0]] * 3)
    scores = fusion.fault_scores(x, torch.full((3, 1, FEATURES), torch.nan), present)
    assert (scores[:, 0] > 0).all()
    assert not scores[:, 1].any()
    for p in fusion.compress.parameters():
        torch.nn.init.zeros_(p)
    fusion.losses(x, torch.zeros(3, 1, FEATURES), present)["rebuild"].backward()
    assert x.grad is not None
    assert not x.grad.any()
