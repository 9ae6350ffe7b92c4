"""What a degraded mode costs, and how its results say so.

A mode is what is left of the modalities. The card of each strategy holds what the strategy scored, and how long it
took, with each of some sets of modalities; a frame made with one of those carries the figures, one made with any other
says that they were not measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.messages import MODALITIES, Detections, StreamTick
from sensorfuse.plain_json import read_object
from sensorfuse.track.priors import SPEED_SIGMA_MPS

FIGURE = "NDS on held-out simulated worlds"


@dataclass(frozen=True)
class Expectation:
    """`score` is the `figure` of a strategy in a mode, `ms` its work per tick: the encoders of what is there, and the
    fusion. NaN and "" where that was not measured.
    """

    score: float = math.nan
    figure: str = ""
    ms: float = math.nan


UNMEASURED = Expectation()


class Expectations:
    """Per set of modalities what a strategy scored with it. `accuracy` is that of its card, None without one."""

    def __init__(self, accuracy: dict[str, Any] | None) -> None:
        self._by_present: dict[frozenset[str], Expectation] = {}
        if accuracy is None:
            return
        conditions, times = accuracy["conditions"], accuracy["median_ms"]
        every = frozenset(m for m in MODALITIES if f"no_{m}" in conditions)
        for name, scores in conditions.items():
            present = _present(name, every)
            if present is not None:
                ordered = [m for m in MODALITIES if m in present]  # a sum's last digit hangs on its order
                ms = float(times["fuse"]) + sum(float(times.get(f"encode_{m}", "nan")) for m in ordered)
                self._by_present[present] = Expectation(float(scores["nds"]), FIGURE, ms)

    @staticmethod
    def read(strategy: str, model: str, folder: Path | None = None) -> Expectations:
        """Of a strategy's card in a folder, by default the shipped ones. Nothing is known where there is no card, it
        says nothing of this, or it is that of other weights than `model`.
        """
        path = (folder or weights_folder()) / f"{strategy}.json"
        try:
            accuracy = read_object(path.read_text(encoding="utf-8"))["accuracy"]
            return Expectations(accuracy if accuracy["model"] == model else None)
        except (OSError, ValueError, KeyError, TypeError):
            return Expectations(None)

    def of(self, present: Iterable[str]) -> Expectation:
        """Of the mode in which these modalities are there."""
        return self._by_present.get(frozenset(present), UNMEASURED)


def _present(condition: str, every: frozenset[str]) -> frozenset[str] | None:
    """The modalities of a condition's name: `all`, `no_x`, or `only_x`, which leaves out the other spatial ones."""
    how, _, what = condition.partition("_")
    if condition == "all":
        return every
    if how == "no" and what in every:
        return every - {what}
    if how == "only" and what in SPATIAL:
        return every - (set(SPATIAL) - {what})
    return None


def fade(found: Detections, weight: float) -> Detections:
    """A source's detections with less than a whole vote: less score, and less information in proportion."""
    if weight >= 1.0 or not len(found):
        return found
    share = max(weight, 1e-3)
    return replace(found, score=(found.score * share).astype(np.float32), covariance=found.covariance / share)


def overdue_s(
    streams: Iterable[StreamTick], used: Iterable[str], weights: dict[str, float], periods_ns: dict[str, int]
) -> float:
    """By how much what a tick is made of is older than a message's period, weighted as the fusion did: 0 while every
    spatial stream keeps its pace.
    """
    there = set(used)
    held = [s for s in streams if s.modality in SPATIAL and s.stream in there]
    total = sum(weights.get(s.stream, 0.0) for s in held)
    if total <= 0:
        return 0.0
    over = sum(weights.get(s.stream, 0.0) * max(0, -s.dt_ns - periods_ns[s.stream]) for s in held)
    return over / total / 1e9


def age(found: Detections, over_s: float) -> Detections:
    """Detections of a held feature map that is older than usual: the map was moved by the robot's own motion, but not
    the objects in it, each of which may have moved as its kind does.
    """
    if over_s <= 0 or not len(found):
        return found
    covariance = found.covariance.copy()
    moved = (SPEED_SIGMA_MPS[found.class_id] * over_s) ** 2
    covariance[:, 0, 0] += moved
    covariance[:, 1, 1] += moved
    return replace(found, covariance=covariance)
