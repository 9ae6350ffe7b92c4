"""Doubts about a match: whether it can be one body's motion, and whether more than one moment speaks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from sensorfuse.align.content.reference import Floats, Reference, Spans, means_at
from sensorfuse.align.content.search import Gate

GAINS = (0.6, 1.6)  # a stabilised picture turns less than its camera
BLOCKS = 4
LEAST_PEAK = 0.4
LONE_PEAK = 0.92
ALIKE = 0.7  # of the match is left with the rig's rotation: less is a mounting off by more than some 45 degrees
ANY_GATE = Gate(peak=0.0, gap=0.0, sigma_s=math.inf, rows=12)
AGAIN_S = 0.3  # searched about the offset found when a part of the time is left out
APART_S, APART_SIGMAS = 0.02, 5.0  # by no more may the offset then change


def implausible(reference: Reference, seen: Spans, offset_s: float, rotation: Floats, mounted: Floats | None) -> str:
    """Why mean rates `seen` at `offset_s` are not the reference's, in words; empty where nothing speaks against it.

    rotation, mounted: (3, 3) R_sensor_reference, as found and as the rig has it, None where it does not say.
    """
    mean, _, known = means_at(reference, seen, offset_s)
    turned = mean[known] - mean[known].mean(axis=0)
    found = seen.value[known] - seen.value[known].mean(axis=0)
    power = float((turned**2).sum())
    if power <= 0:
        return "the reference does not turn"
    gain = float((found * (turned @ rotation.T)).sum()) / power
    if not GAINS[0] <= gain <= GAINS[1]:
        return f"it turns {gain:.2f} times as far as the reference: stabilised pictures, or wrong intrinsics"
    if mounted is None:
        return ""
    by_rig = float((found * (turned @ mounted.T)).sum()) / power
    if by_rig < ALIKE * gain:
        angle = np.degrees(np.arccos(np.clip((np.trace(mounted.T @ rotation) - 1) / 2, -1.0, 1.0)))
        return f"it turns about other axes than T_base_sensor says, {angle:.0f} degrees off: correct the rig"
    return ""


def implausible_gain(gain: float) -> str:
    """Why a number that is `gain` times the reference's is not the same motion, in words; else empty."""
    if GAINS[0] <= gain <= GAINS[1]:
        return ""
    return f"what it sees is {gain:.2f} times what the reference says: not the same motion"


class Offset(Protocol):
    """What every estimate has."""

    @property
    def offset_s(self) -> float: ...
    @property
    def sigma_s(self) -> float: ...
    @property
    def peak(self) -> float: ...


class Jackknife:
    """The spread of an estimate when one of `BLOCKS` stretches of time is left out in turn (Efron and Stein, "The
    jackknife estimate of variance", 1981), one stretch per `step`: each costs as much as the estimate did.

    Args:
        seen: what the estimate is from.
        found: the estimate.
        fit: estimates again from part of `seen`, near the offset found.
    """

    def __init__(self, seen: Spans, found: Offset, fit: Callable[[Spans], Offset]) -> None:
        self._seen, self._found, self._fit = seen, found, fit
        self._apart_s = max(APART_S, APART_SIGMAS * found.sigma_s)
        self._edges = np.linspace(0, len(seen), BLOCKS + 1).astype(int).tolist()
        self._rest: list[float] = []
        self._alone_s: float | None = None  # the middle of a stretch without which the estimate is another

    @property
    def done(self) -> bool:
        return len(self._rest) == BLOCKS

    def step(self) -> None:
        """Leave out the next stretch."""
        first, last = self._edges[len(self._rest)], self._edges[len(self._rest) + 1]
        keep = np.ones(len(self._seen), dtype=np.bool_)
        keep[first:last] = False
        again = self._fit(self._seen.select(keep))
        lost = not math.isfinite(again.sigma_s) or abs(again.offset_s - self._found.offset_s) > self._apart_s
        if lost or again.peak < LEAST_PEAK:
            self._alone_s = float(self._seen.middle_s[first:last].mean())
        self._rest.append(again.offset_s)

    def verdict(self) -> tuple[float, str]:
        """The spread, and why the estimate is not to be trusted: it hangs on one stretch alone, though it is not one
        that matches nearly perfectly. Else empty. All stretches that are left to leave out are left out first.
        """
        while not self.done:
            self.step()
        if self._alone_s is None:
            return math.sqrt((BLOCKS - 1) * float(np.var(self._rest))), ""
        if self._found.peak >= LONE_PEAK:
            return 0.0, ""
        return math.inf, f"all that tells it is one motion, at {self._alone_s:.1f} s, which matches only so well"
