"""What a recurrent network hands on from tick to tick. numpy; no torch.

An exported network whose input `x` has an output `next_x` is recurrent: the output of one tick is the input of the
next. It begins with zeros, and anew after a gap, for what it remembers is then about another time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LONGEST_GAP_PERIODS = 3
"""Ticks further apart than so many periods have nothing to do with one another."""


def next_name(name: str) -> str:
    """The output that holds what the state input `name` is at the next tick."""
    return f"next_{name}"


class NetworkState:
    """The state of one network between ticks; empty for one that is not recurrent.

    Args:
        input_shapes, output_names: the network's, the batch axis first.
        period_ns: between ticks.
    """

    def __init__(self, input_shapes: Mapping[str, Sequence[Any]], output_names: Sequence[str], period_ns: int) -> None:
        self._zeros: dict[str, Array] = {
            name: np.zeros((1, *shape[1:]), np.float32)
            for name, shape in input_shapes.items()
            if next_name(name) in output_names
        }
        self._longest_ns = LONGEST_GAP_PERIODS * period_ns
        self._t_ns = 0
        self._kept: dict[str, Array] = {}

    def at(self, t_ns: int) -> dict[str, Array]:
        """The network's state inputs at a tick: what the tick before left, or zeros, if there is none, if it is too
        long ago, or if time has not gone on since.
        """
        follows = 0 < t_ns - self._t_ns <= self._longest_ns
        return self._kept if self._kept and follows else self._zeros

    def keep(self, t_ns: int, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Take what the network made of its state at a tick. A state with a number that is not finite is dropped."""
        kept = {name: np.asarray(outputs[next_name(name)], np.float32) for name in self._zeros}
        self._kept = kept if all(np.isfinite(x).all() for x in kept.values()) else {}
        self._t_ns = t_ns

    def forget(self) -> None:
        """Begin anew."""
        self._kept = {}
