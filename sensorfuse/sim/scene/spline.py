"""Closed uniform quintic B-splines with exact derivatives.

A B-spline stays in the hull of its control points and grows where they grow (variation diminishing), so a time law
made of samples of travelled distance never runs backwards and stands exactly still where they do. Degree 5 is four
times continuously differentiable: velocity, acceleration and angular acceleration are smooth. Recursion: de Boor
1972.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DEGREE = 5
ORDERS = 4  # the value and three derivatives


def _basis() -> Array:
    """Weights as polynomials: [order of derivative, control point, power of the local coordinate], (4, 6, 6)."""
    pieces = [np.polynomial.Polynomial([1.0])]
    zero = np.polynomial.Polynomial([0.0])
    for degree in range(1, DEGREE + 1):
        grown = []
        for j in range(degree + 1):
            rising = pieces[j] if j < degree else zero
            falling = pieces[j - 1] if j > 0 else zero
            up = np.polynomial.Polynomial([j / degree, 1 / degree])
            down = np.polynomial.Polynomial([(degree + 1 - j) / degree, -1 / degree])
            grown.append(up * rising + down * falling)
        pieces = grown
    table = np.zeros((ORDERS, DEGREE + 1, DEGREE + 1))
    for i, piece in enumerate(reversed(pieces)):
        for order in range(ORDERS):
            coefficients = piece.deriv(order).coef if order else piece.coef
            table[order, i, : len(coefficients)] = coefficients
    return table


_BASIS = _basis()


@njit(cache=True)
def _evaluate(control: Array, advance: Array, u: Array, step: float, basis: Array, out: Array) -> None:
    n, dims = control.shape
    for k in range(len(u)):
        position = u[k] / step
        cell = math.floor(position)
        x = position - cell
        scale = 1.0
        for order in range(4):
            for d in range(dims):
                out[k, order, d] = 0.0
            for i in range(6):
                weight = 0.0
                for power in range(5, -1, -1):
                    weight = weight * x + basis[order, i, power]
                m = int(cell) - 2 + i
                lap = m // n
                for d in range(dims):
                    out[k, order, d] += weight * scale * (control[m - lap * n, d] + lap * advance[d])
            scale /= step


class LoopSpline:
    """A curve of one parameter that repeats every `period` with `advance` added (zero for a closed curve)."""

    def __init__(self, control: ArrayLike, period: float, advance: ArrayLike) -> None:
        """From control points (n, D), evenly spread over the period."""
        self.control = np.ascontiguousarray(control, dtype=np.float64)
        self.period = float(period)
        self.advance = np.ascontiguousarray(advance, dtype=np.float64)
        self.step = self.period / len(self.control)

    def __call__(self, u: ArrayLike) -> Array:
        """Value and first three derivatives at `u` (K,): (K, 4, D)."""
        at = np.ascontiguousarray(np.atleast_1d(np.asarray(u, dtype=np.float64)))
        out = np.empty((len(at), ORDERS, self.control.shape[1]))
        _evaluate(self.control, self.advance, at, self.step, _BASIS, out)
        return out
