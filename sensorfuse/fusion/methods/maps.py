"""Convolutions over the places of tokens: cells of a grid, or steps in time. Torch."""

from __future__ import annotations

from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout


def window(layout: TokenLayout, kernel: int) -> tuple[int, int]:
    """`kernel` x `kernel` cells of a grid, `kernel` steps in time, or the only place there is."""
    if layout.grid:
        return kernel, kernel
    return 1, kernel if layout.length > 1 else 1


def over_places(layout: TokenLayout, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution of maps as `layout.to_map` gives them, (B, I, rows, columns), that keeps their size or, by
    `stride`, divides it (rounded up)."""
    rows, columns = window(layout, kernel)
    strides = (stride if layout.grid else 1, stride)
    return nn.Conv2d(inputs, outputs, (rows, columns), strides, padding=(rows // 2, columns // 2))


def to_tokens(x: Tensor) -> Tensor:
    """A map (B, C, rows, columns) as tokens (B, N, C): the inverse of `layout.to_map`."""
    return x.flatten(2).transpose(1, 2)


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """A map at half the resolution of `like`, every cell repeated, with the rows and columns of `like`."""
    rows, columns = like.shape[2:]
    if rows > 1:
        x = x.repeat_interleave(2, dim=2)
    if columns > 1:
        x = x.repeat_interleave(2, dim=3)
    return x[:, :, :rows, :columns]
