"""Tokens, patches and maps: the same numbers, laid out otherwise."""

import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

GRID = TokenLayout((96, 1, 96), grid=(8, 12), patch=4)


def test_patches_and_cells_are_inverse() -> None:
    tokens = torch.randn(2, 96, 5)
    patches = GRID.to_patches(tokens)
    assert patches.shape == (2, GRID.patches, GRID.cells * 5) == (2, 6, 80)
    assert torch.equal(GRID.to_cells(patches), tokens)
    cell = torch.zeros(1, 96, 5)
    cell[0, 12 * 5 + 9] = 1  # row 5, column 9 lies in patch (1, 2)
    assert GRID.to_patches(cell)[0].sum(dim=1).nonzero().tolist() == [[1 * 3 + 2]]


def test_a_map_has_rows_and_columns() -> None:
    tokens = torch.randn(2, 96, 5)
    assert torch.equal(GRID.to_map(tokens)[:, :, 5, 9], tokens[:, 12 * 5 + 9])
    assert TokenLayout((7, 1)).to_map(torch.randn(2, 7, 5)).shape == (2, 5, 1, 7)


def test_who_is_placed_and_who_is_heard_everywhere() -> None:
    assert GRID.placed == (0, 2)
    assert (GRID.modalities, GRID.length) == (3, 96)
    assert TokenLayout((1, 1)).placed == (0, 1)


@pytest.mark.parametrize(
    "bad", [{"counts": (4, 3)}, {"counts": (5,), "grid": (2, 3)}, {"counts": (6,), "grid": (2, 3), "patch": 2}]
)
def test_a_layout_that_cannot_be_is_refused(bad: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(AssertionError):
        TokenLayout(**bad)
