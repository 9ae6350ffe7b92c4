"""An engine that survives its backend: when one fails, the next does the same call, within the same tick.

The levels lie in an order, best first, the surest last. At the start the first that opens is used. In the run an engine
has failed when it raises, or when it makes numbers that are not finite out of numbers that are and the next level does
not; then the next level takes over for good, as what failed once on this machine is not to be trusted with a robot.
The level below, and the last one, are opened ahead: opening a network takes longer than a tick lasts.

A caller's wrong input is no failure of the engine. An engine that hangs can't be replaced from within; that is the
supervisor's task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.engine.engine import Engine, Precision, WrongInput
from sensorfuse.errors import SensorfuseError, first_line

Arrays = dict[str, NDArray[Any]]
LONGEST_REASON = 200


@dataclass(frozen=True)
class Level:
    """One way to run a network: what to call it, and how to open it."""

    label: str
    open: Callable[[], Engine]


class FallbackEngine:
    """Implements `Engine` by the best of several that works. `replaced` counts replacements in the run, `reasons` says
    why each level that was left was left.

    Args:
        network: what the levels run, for messages.
        levels: best first.
        report: told of every level that was left, in words for a person.
        insist: the first level has to open; the others are for the run.

    Raises:
        SensorfuseError: none of the levels opens, or not the one that has to.
    """

    def __init__(
        self, network: str, levels: Sequence[Level], report: Callable[[str], None], insist: bool = False
    ) -> None:
        self._network, self._levels, self._report = network, list(levels), report
        self._opened: dict[int, Engine] = {}
        self.replaced = 0
        self.reasons: list[str] = []
        self._checks_numbers = True
        if insist:
            self._open(0)
        self._level = self._first_that_opens()
        self._open_ahead()

    @property
    def name(self) -> str:
        return self._current.name

    @property
    def precision(self) -> Precision:
        return self._current.precision

    @property
    def digest(self) -> str:
        return self._current.digest

    @property
    def input_shapes(self) -> dict[str, list[Any]]:
        return self._current.input_shapes

    @property
    def output_names(self) -> list[str]:
        return self._current.output_names

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Outputs by name, of the first level from the present one down that can make them.

        Raises:
            WrongInput: an input is missing, unknown, or has the wrong type or shape.
            Exception: what the present level raised, when no level below it does better.
        """
        try:
            made = self._current.run(inputs)
        except WrongInput:
            raise
        except Exception as error:  # each backend raises classes of its own
            better = self._from_below(inputs, _reason(error), lambda _: True)
            if better is None:
                raise
            return better
        if not self._checks_numbers or _finite(made) or not _finite(inputs):
            return made
        better = self._from_below(inputs, "made numbers that are not finite", _finite)
        self._checks_numbers = better is not None  # where the level below agrees, it is the network's doing
        return made if better is None else better

    def warm_up(self) -> None:
        """Levels are warm when they are opened."""
        self._current.warm_up()

    # ---- inside

    @property
    def _current(self) -> Engine:
        return self._opened[self._level]

    def _first_that_opens(self) -> int:
        for k in range(len(self._levels)):
            try:
                self._open(k)
            except Exception as error:
                self.reasons.append(f"{self._levels[k].label}: {_reason(error)}")
                continue
            for reason in self.reasons:
                self._report(f"{self._network}: {reason}; it runs by {self._told(k)}")
            return k
        raise SensorfuseError(f"{self._network}: no engine can run it: {'; '.join(self.reasons)}")

    def _open(self, k: int) -> Engine:
        if k not in self._opened:
            engine = self._levels[k].open()
            engine.warm_up()
            self._opened[k] = engine
        return self._opened[k]

    def _open_ahead(self) -> None:
        """The level below, and the last. One that does not open now is tried again when it is needed, and told of
        then.
        """
        for k in sorted({self._level + 1, len(self._levels) - 1}):
            if self._level < k < len(self._levels):
                try:
                    self._open(k)
                except Exception:
                    continue

    def _from_below(
        self, inputs: Mapping[str, NDArray[Any]], reason: str, acceptable: Callable[[Arrays], bool]
    ) -> Arrays | None:
        """What the next level that works makes of the inputs; from then on it is the present one. None if none does."""
        left = [f"{self._told(self._level)} failed: {reason}"]
        for k in range(self._level + 1, len(self._levels)):
            try:
                made = self._open(k).run(inputs)
            except WrongInput:
                raise
            except Exception as error:
                left.append(f"{self._levels[k].label}: {_reason(error)}")
                continue
            if not acceptable(made):
                return None
            self._level = k
            self.replaced += 1
            self.reasons += left
            self._report(f"{self._network}: {'; '.join(left)}; it goes on by {self._told(k)}")
            return made
        return None

    def _told(self, k: int) -> str:
        return f"{self._opened[k].name} {self._opened[k].precision}"


def _reason(error: Exception) -> str:
    return first_line(error)[:LONGEST_REASON]


def _finite(arrays: Mapping[str, NDArray[Any]]) -> bool:
    return all(bool(np.isfinite(a).all()) for a in arrays.values())
