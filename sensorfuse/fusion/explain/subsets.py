"""What a strategy would have said of a tick, had only some of its sensors been there: a value per object and output.

Learned strategies: an object's value is the highest score of its group within a cell of where it is; with no sensor at
all it is 0, as nothing is detected then. Object-level ones: the score of the object that lies where it does, 0 where
there is none.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.decode import GROUP_OF_CLASS
from sensorfuse.fusion.explain.moment import Moment
from sensorfuse.fusion.explain.shapley import subset_table
from sensorfuse.fusion.explain.tapped import Tap
from sensorfuse.fusion.fuser import Fuser, FusionResult
from sensorfuse.fusion.grid import GRID
from sensorfuse.fusion.learned import MOTION_INDEX, VX_UNIT_MPS
from sensorfuse.messages import CLASSES, MODALITIES, SOUND_CLASSES, Detections, Modality

Array = NDArray[np.float64]

MATCH_M = 2.0
SEARCH_CELLS = 2
"""A box's centre may lie so far from the cell whose peak it is."""
OUTPUTS: tuple[tuple[str, str], ...] = (
    ("forward speed", "s²/m²"),
    ("yaw rate", "s²/rad²"),
    *((name, "probability") for name in SOUND_CLASSES),
)
"""Name and unit of what is told of a tick beside its objects. Of own motion that is how surely it is known,
1 / sigma^2, which adds up over independent sensors and is 0 without any."""


@dataclass
class SubsetValues:
    """`table` (2^M, N + 5): per subset of `players` the values of the N objects, then of `OUTPUTS`."""

    players: tuple[Modality, ...]
    objects: Detections
    table: Array


def network_values(moment: Moment, tap: Tap) -> SubsetValues:
    """By the network of a learned strategy, on what it was given at the tick."""
    players = tuple(tap.present()) if moment.result.weights else ()  # a tick without evidence asks no network
    objects = moment.result.detections
    cells: list[tuple[int, int, int]] = []

    def value(there: tuple[bool, ...]) -> Array:
        if not any(there):
            return np.zeros(len(objects) + len(OUTPUTS))
        out = tap.without([m for m, one in zip(players, there, strict=True) if one])
        score = 1 / (1 + np.exp(-out["heat"].astype(np.float64)))
        sound = 1 / (1 + np.exp(-out["sound"][:, 0].astype(np.float64)))
        heard = "audio" in players and there[players.index("audio")]  # no sound is told without microphones
        sigma = np.exp(out["motion"][2:4].astype(np.float64)) * [VX_UNIT_MPS, 1.0]
        return np.concatenate([[_highest(score, *cell) for cell in cells], sigma**-2.0, sound * heard])

    if players:
        heat = tap.without(players)["heat"].astype(np.float64)
        cells.extend(object_cells(1 / (1 + np.exp(-heat)), objects))
    return SubsetValues(players, objects, subset_table(len(players), value))


def object_cells(score: Array, objects: Detections) -> list[tuple[int, int, int]]:
    """Per object its group and the cell whose score (3, X, Y) it was read from."""
    out = []
    places = np.floor(GRID.index(objects.center[:, :2]) + 0.5).astype(np.int64)
    for n, (i, j) in enumerate(np.clip(places, 0, GRID.cells - 1)):
        group = GROUP_OF_CLASS[CLASSES[objects.class_id[n]]]
        i0, j0 = max(i - SEARCH_CELLS, 0), max(j - SEARCH_CELLS, 0)
        near = score[group, i0 : i + SEARCH_CELLS + 1, j0 : j + SEARCH_CELLS + 1]
        a, b = np.unravel_index(int(np.abs(near - objects.score[n]).argmin()), near.shape)
        out.append((group, int(i0 + a), int(j0 + b)))
    return out


def _highest(score: Array, group: int, i: int, j: int) -> float:
    return float(score[group, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].max())


def object_values(moment: Moment, fuser: Fuser) -> SubsetValues:
    """By fusing the tick again with part of the evidence; `fuser` is left as it was."""
    modality = {s.stream: s.modality for s in moment.tick.streams}
    served = {modality[s] for s in moment.evidence}
    players = tuple(m for m in MODALITIES if m in served)
    objects = moment.result.detections
    unsure = replace(moment.tick, twist_sigma=np.full(6, np.inf))  # what the tick knew of its motion is nobody's share

    def value(there: tuple[bool, ...]) -> Array:
        kept = [m for m, one in zip(players, there, strict=True) if one]
        evidence = {s: e for s, e in moment.evidence.items() if modality[s] in kept}
        result = copy.deepcopy(fuser).fuse(unsure, evidence)
        return np.concatenate([matched_scores(objects, result.detections), _outputs(result)])

    return SubsetValues(players, objects, subset_table(len(players), value))


def matched_scores(objects: Detections, found: Detections) -> Array:
    """Per object the score of the found one that lies within 2 m of it, each given to the nearest; 0 without one."""
    scores = np.zeros(len(objects))
    if not len(objects) or not len(found):
        return scores
    away = np.hypot(*np.moveaxis(objects.center[:, None, :2] - found.center[None, :, :2], -1, 0))  # (N, K)
    while away.min() <= MATCH_M:
        n, k = np.unravel_index(int(away.argmin()), away.shape)
        scores[n] = found.score[k]
        away[n], away[:, k] = np.inf, np.inf
    return scores


def _outputs(result: FusionResult) -> Array:
    """How surely the evidence tells own motion, and the sounds' scores."""
    sigma = np.full(len(MOTION_INDEX), np.inf) if result.twist_sigma is None else result.twist_sigma[list(MOTION_INDEX)]
    heard = {e.name: e.score for e in result.sounds}
    return np.concatenate([np.maximum(sigma, 1e-9) ** -2.0, [heard.get(name, 0.0) for name in SOUND_CLASSES]])
