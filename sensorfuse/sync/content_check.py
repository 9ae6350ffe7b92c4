"""Doubts about a match: whether it can be one body's motion, and whether more than one moment speaks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import numpy as np

from sensorfuse.align.content.reference import Reference, Spans, means_at
from sensorfuse.sync.content_series import Floats

GAINS = (0.6, 1.6)  # a stabilised picture turns less than its camera
BLOCKS = 4
LEAST_PEAK = 0.4
LONE_PEAK = 0.92
ALIKE = 0.7  # of the match is left with the rig's rotation: less is a mounting off by more than some 45 degrees


def implausible(reference: Reference, seen: Spans, offset_s: float, rotation: Floats, mounted: Floats) -> str:
    """Why mean rates `seen` at `offset_s` are not the reference's, in words; empty where nothing speaks against it.

    rotation, mounted: (3, 3) R_sensor_reference, as found and as the rig has it.
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
    by_rig = float((found * (turned @ mounted.T)).sum()) / power
    if by_rig < ALIKE * gain:
        angle = np.degrees(np.arccos(np.clip((np.trace(mounted.T @ rotation) - 1) / 2, -1.0, 1.0)))
        return f"it turns about other axes than T_base_sensor says, {angle:.0f} degrees off: correct the rig"
    return ""


class Offset(Protocol):
    """What every estimate has."""

    @property
    def offset_s(self) -> float: ...
    @property
    def sigma_s(self) -> float: ...
    @property
    def peak(self) -> float: ...


def jackknife(seen: Spans, found: Offset, fit: Callable[[Spans], Offset], apart_s: float) -> tuple[float, str]:
    """The spread of the estimate when one of `BLOCKS` stretches of time is left out in turn (Efron and Stein, "The
    jackknife estimate of variance", 1981), and why the estimate is not to be trusted: it hangs on one of them alone,
    though it is not one that matches nearly perfectly. Else empty.

    fit: estimates again from part of the spans, near the offset found. apart_s: what counts as far off.
    """
    edges = np.linspace(0, len(seen), BLOCKS + 1).astype(int).tolist()
    rest, alone = [], None
    for first, last in pairwise(edges):
        keep = np.ones(len(seen), dtype=np.bool_)
        keep[first:last] = False
        again = fit(seen.select(keep))
        lost = not math.isfinite(again.sigma_s) or abs(again.offset_s - found.offset_s) > apart_s
        if lost or again.peak < LEAST_PEAK:
            alone = float(seen.middle_s[first:last].mean())
        rest.append(again.offset_s)
    if alone is not None and found.peak < LONE_PEAK:
        return math.inf, f"all that tells it is one motion, {alone:.1f} s into the log, which matches only so well"
    return (math.sqrt((BLOCKS - 1) * float(np.var(rest))) if alone is None else 0.0), ""
