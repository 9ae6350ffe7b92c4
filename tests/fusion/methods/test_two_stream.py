"""Two-stream fusion must tell whether two streams show the same place, and bear that one is put a cell aside."""

import pytest

torch = pytest.importorskip("torch")
from tasks import Read, accuracy, blobs, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.early import EarlyFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.two_stream import TwoStreamFusion  # noqa: E402

SIDE, WIDTH = 8, 16
LAYOUT = TokenLayout((SIDE * SIDE, SIDE * SIDE), (SIDE, SIDE))


class Pooling(nn.Module):
    """Each map is averaged before they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.read = Read(EarlyFusion(TokenLayout((1, 1)), 1, WIDTH), WIDTH)

    def forward(self, *maps: Tensor) -> Tensor:
        return self.read(*[x.mean(dim=1) for x in maps])


def score(model: nn.Module, shift: int, seed: int = 0) -> float:
    """Same place or at least 3 cells apart; the same place may look up to `shift` cells apart."""
    fit(model, *blobs(SIDE, (0, shift), (3, SIDE - 1), 4000, seed), steps=150, batch=64)
    return accuracy(model, *blobs(SIDE, (0, shift), (3, SIDE - 1), 2000, 99 + seed))


def streams(kernel: int) -> Read:
    return Read(TwoStreamFusion(LAYOUT, 1, WIDTH, kernel), WIDTH)


def test_maps_that_meet_tell_what_pooled_ones_cannot() -> None:
    torch.manual_seed(0)
    assert score(streams(3), shift=0) >= 0.97
    assert score(Pooling(), shift=0) <= 0.60


def test_the_window_bears_a_shift() -> None:
    torch.manual_seed(0)
    assert score(streams(3), shift=1) >= 0.95
    assert score(streams(1), shift=1) <= 0.65
