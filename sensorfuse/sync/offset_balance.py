"""From differences between streams to corrections of each: who has to give way.

Content tells only differences. They are shared out by what the rig says it knows of each offset (least squares with a
prior per sensor). Where the rig says nothing, the reference stays and the others move. Where all others are far from
the reference and agree with each other, it is the reference that is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FAR_S = 1.0
HELD_SIGMA_S, FREE_SIGMA_S = 1e-9, 1e3
REFUTED = 3.0  # sigmas
EXACT_SIGMA_S = 1e-5  # of an offset that the rig gives without a sigma, beside others that have one


@dataclass(frozen=True)
class Difference:
    """`stream` lacks `offset_s` more than `reference` does, one sigma `sigma_s`."""

    stream: str
    reference: str
    offset_s: float
    sigma_s: float


def balance(differences: list[Difference], known_s: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """What has to be added to each sensor's offset, and its sigma, of those that have to change.

    known_s: the rig's sigmas, 0 where it gives none.
    """
    names = sorted({n for d in differences for n in (d.stream, d.reference)})
    if not names:
        return {}
    place = {name: k for k, name in enumerate(names)}
    prior = _priors(differences, {n: known_s.get(n, 0.0) for n in names})
    weight = np.diag([1 / prior[n] ** 2 for n in names])
    pull = np.zeros(len(names))
    for d in differences:
        row = np.zeros(len(names))
        row[place[d.stream]], row[place[d.reference]] = 1.0, -1.0
        weight += np.outer(row, row) / d.sigma_s**2
        pull += row * d.offset_s / d.sigma_s**2
    correction, covariance = np.linalg.solve(weight, pull), np.linalg.inv(weight)
    return {
        name: (float(correction[k]), float(np.sqrt(covariance[k, k])))
        for name, k in place.items()
        if prior[name] > HELD_SIGMA_S
    }


def _priors(differences: list[Difference], known_s: dict[str, float]) -> dict[str, float]:
    roots = {d.reference for d in differences} - {d.stream for d in differences}
    far = [d.offset_s for d in differences if d.reference in roots]
    if len(roots) == 1 and min(map(abs, far)) > FAR_S and max(far) - min(far) < FAR_S:
        sigmas = {n: s or EXACT_SIGMA_S for n, s in known_s.items()}
        return sigmas | dict.fromkeys(roots, FREE_SIGMA_S)
    if not any(known_s.values()):
        return {n: HELD_SIGMA_S if n in roots else FREE_SIGMA_S for n in known_s}
    sigmas = {n: s or EXACT_SIGMA_S for n, s in known_s.items()}
    out = dict(sigmas)
    for d in differences:
        if abs(d.offset_s) > REFUTED * math.hypot(sigmas[d.stream], sigmas[d.reference], d.sigma_s):
            for name in [n for n in (d.stream, d.reference) if known_s[n]] or [d.stream]:
                out[name] = max(out[name], abs(d.offset_s))  # known worse than the rig says
    return out
