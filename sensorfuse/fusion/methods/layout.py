"""How the tokens that a fusion method is given lie. Torch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenLayout:
    """`counts[m]` tokens of modality m.

    Modalities with more than one token share `length` places: the cells of `grid` (rows, columns), or steps in time.
    One with a single token is heard at every place. On a grid, methods whose cost grows with the square of the tokens
    work on squares of `patch` x `patch` cells.
    """

    counts: tuple[int, ...]
    grid: tuple[int, int] | None = None
    patch: int = 1

    def __post_init__(self) -> None:
        length = max(self.counts)
        assert set(self.counts) <= {1, length}, f"counts {self.counts}: each is 1 or the same number"
        if self.grid is not None:
            rows, columns = self.grid
            assert rows * columns == length, f"a grid of {rows} x {columns} does not hold {length} tokens"
            assert rows % self.patch == columns % self.patch == 0, f"patches of {self.patch} do not fill {self.grid}"

    @property
    def modalities(self) -> int:
        return len(self.counts)

    @property
    def length(self) -> int:
        """N: how many places there are."""
        return max(self.counts)

    @property
    def placed(self) -> tuple[int, ...]:
        """Modalities that have a token at every place."""
        return tuple(m for m, n in enumerate(self.counts) if n == self.length)

    @property
    def cells(self) -> int:
        """Cells per patch; 1 where there are no patches."""
        return self.patch**2 if self.grid is not None else 1

    @property
    def patches(self) -> int:
        """How many places patches have."""
        return self.length // self.cells

    def to_patches(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) as patches (B, N / p^2, p^2 C); a single token stays what it is."""
        if self.cells == 1 or x.shape[1] == 1:
            return x
        assert self.grid is not None
        (rows, columns), p = self.grid, self.patch
        x = x.reshape(x.shape[0], rows // p, p, columns // p, p, x.shape[2])
        return x.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2)

    def to_cells(self, x: Tensor) -> Tensor:
        """Patches (B, N / p^2, p^2 D) as tokens (B, N, D): the inverse of `to_patches`."""
        if self.cells == 1:
            return x
        assert self.grid is not None
        (rows, columns), p = self.grid, self.patch
        x = x.reshape(x.shape[0], rows // p, columns // p, p, p, -1)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], rows * columns, -1)

    def to_map(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) as a map (B, C, rows, columns); steps in time as one row."""
        rows, columns = self.grid or (1, self.length)
        return x.transpose(1, 2).unflatten(2, (rows, columns))
