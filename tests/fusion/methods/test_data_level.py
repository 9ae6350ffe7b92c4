"""Data-level fusion must learn a relation between modalities at different places, which fusion by place cannot."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, Read, accuracy, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.data_level import DataLevelFusion  # noqa: E402
from sensorfuse.fusion.methods.early import EarlyFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.two_stream import TwoStreamFusion  # noqa: E402

STEPS, LATER, WIDTH = 8, 3, 16
LAYOUT = TokenLayout((STEPS, STEPS))


def echoes(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """One event in a and, three steps later, one in b (count, 8, 8); whether their first numbers have one sign."""
    rng = torch.Generator().manual_seed(seed)
    event, answer = (torch.randn((count, FEATURES), generator=rng) for _ in range(2))
    when = torch.randint(0, STEPS - LATER, (count,), generator=rng)
    a, b = torch.zeros(2, count, STEPS, FEATURES)
    a[torch.arange(count), when] = event
    b[torch.arange(count), when + LATER] = answer
    return [a, b], (event[:, :1] * answer[:, :1] > 0).float()


def score(fusion: nn.Module, seed: int = 0) -> float:
    model = fit(Read(fusion, WIDTH), *echoes(6000, seed), steps=250, batch=96)
    return accuracy(model, *echoes(2000, 99 + seed))


def test_relates_modalities_at_different_places() -> None:
    torch.manual_seed(0)
    assert score(DataLevelFusion(LAYOUT, FEATURES, WIDTH)) >= 0.90
    assert score(EarlyFusion(LAYOUT, FEATURES, WIDTH)) <= 0.60
    assert score(TwoStreamFusion(LAYOUT, FEATURES, WIDTH)) <= 0.60  # its window is too small


def test_nothing_is_mixed_over_places_before_all_modalities_are_side_by_side() -> None:
    """What the encoder is given at a place depends on that place alone, and on every modality there."""
    torch.manual_seed(0)
    fusion = DataLevelFusion(TokenLayout((16, 16, 1), (4, 4)), 3, 6).eval()
    given: list[Tensor] = []
    fusion.fine.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    tokens, present = [torch.randn(1, n, 3) for n in (16, 16, 1)], torch.ones(1, 3)
    fusion(*tokens, present)
    for m in range(3):
        others = [x.clone() for x in tokens]
        others[m][:, 0] += 1.0
        fusion(*others, present)
        changed = (given[-1] != given[0]).any(dim=1)[0]
        assert changed.all() if m == 2 else changed.nonzero().tolist() == [[0, 0]]
