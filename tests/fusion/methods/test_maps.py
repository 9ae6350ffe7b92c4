"""Maps: windows fit grids and time, halving and enlarging fit each other."""

import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.maps import enlarged, over_places, to_tokens  # noqa: E402

LAYOUTS = [
    (TokenLayout((96, 1), (8, 12), 4), (8, 12), (4, 6)),
    (TokenLayout((7, 7)), (1, 7), (1, 4)),
    (TokenLayout((1, 1)), (1, 1), (1, 1)),
]


@pytest.mark.parametrize(("layout", "size", "half"), LAYOUTS)
def test_halved_and_enlarged_fit(layout: TokenLayout, size: tuple[int, int], half: tuple[int, int]) -> None:
    tokens = torch.randn(2, layout.length, 5)
    whole = layout.to_map(tokens)
    assert torch.equal(to_tokens(whole), tokens)
    assert over_places(layout, 5, 4)(whole).shape == (2, 4, *size)
    small = over_places(layout, 5, 5, stride=2)(whole)
    assert small.shape == (2, 5, *half)
    large = enlarged(small, whole)
    assert large.shape == whole.shape
    rows, columns = size
    for row, column in ((0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)):
        assert torch.equal(large[:, :, row, column], small[:, :, row // 2 if rows > 1 else 0, column // 2])


def test_a_window_in_time_is_no_square() -> None:
    assert over_places(TokenLayout((7,)), 2, 3).weight.shape == (3, 2, 1, 3)
    assert over_places(TokenLayout((1,)), 2, 3).weight.shape == (3, 2, 1, 1)
