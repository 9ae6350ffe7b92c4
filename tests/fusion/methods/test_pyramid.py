"""Pyramid fusion must see what lies further apart than one window, and still tell one cell from the next."""

import pytest

torch = pytest.importorskip("torch")
from tasks import Read, accuracy, blobs, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.pyramid import PyramidFusion  # noqa: E402

SIDE, FEATURES, WIDTH = 12, 8, 8
LAYOUT = TokenLayout((SIDE * SIDE, SIDE * SIDE), (SIDE, SIDE))
APART = ((3, 3), (6, SIDE - 1))
"""Three cells apart, or six and more."""
CELL = ((0, 0), (1, 1))
"""The same cell, or the next."""


class Coarse(nn.Module):
    """The coarsest level alone: maps are averaged over 4 x 4 cells before they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.read = Read(PyramidFusion(TokenLayout((9, 9), (3, 3)), FEATURES, WIDTH), WIDTH)

    def forward(self, *maps: Tensor) -> Tensor:
        small = [nn.functional.avg_pool2d(LAYOUT.to_map(x), 4).flatten(2).transpose(1, 2) for x in maps]
        return self.read(*small)


def score(model: nn.Module, task: tuple[tuple[int, int], tuple[int, int]], steps: int, seed: int = 0) -> float:
    maps, label = blobs(SIDE, *task, 3000, seed)
    fit(model, [x.repeat(1, 1, FEATURES) for x in maps], label, steps=steps, batch=32)
    maps, label = blobs(SIDE, *task, 1000, 99 + seed)
    return accuracy(model, [x.repeat(1, 1, FEATURES) for x in maps], label)


def pyramid(levels: int) -> Read:
    return Read(PyramidFusion(LAYOUT, FEATURES, WIDTH, levels), WIDTH)


def test_sees_further_than_one_scale() -> None:
    torch.manual_seed(0)
    assert score(pyramid(3), APART, steps=200) >= 0.75
    assert score(pyramid(1), APART, steps=200) <= 0.68


def test_tells_cells_apart_that_the_coarse_level_cannot() -> None:
    torch.manual_seed(0)
    assert score(pyramid(3), CELL, steps=100) >= 0.95
    assert score(Coarse(), CELL, steps=100) <= 0.75


@pytest.mark.parametrize(
    ("layout", "levels"), [(LAYOUT, 3), (TokenLayout((16, 16), (4, 4)), 3), (TokenLayout((3,)), 3)]
)
def test_levels_end_where_there_is_one_cell(layout: TokenLayout, levels: int) -> None:
    assert len(PyramidFusion(layout, 2, 4).levels) == levels
    assert len(PyramidFusion(TokenLayout((1, 1)), 2, 4).levels) == 1
    assert len(PyramidFusion(TokenLayout((2, 1)), 2, 4).levels) == 2


def test_a_vector_reaches_every_cell() -> None:
    torch.manual_seed(0)
    fusion = PyramidFusion(TokenLayout((16, 1), (4, 4)), 3, 6)
    maps, vector = torch.randn(1, 16, 3), torch.randn(1, 1, 3)
    before, _ = fusion(maps, vector, torch.ones(1, 2))
    after, _ = fusion(maps, vector + 1.0, torch.ones(1, 2))
    assert (before != after).any(dim=2).all()
