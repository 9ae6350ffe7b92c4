"""Detection scores as nuScenes defines them (Caesar et al., CVPR 2020), and average precision by overlap in the plane.

- AP by centre distance in the plane at 0.5, 1, 2 and 4 m: recall and precision under 0.1 are cut off, 101 recall
  points.
- True-positive errors at 2 m, averaged over recall: ATE centre (m), ASE 1 - aligned overlap of sizes, AOE heading
  (rad), AVE velocity (m/s).
- NDS without the attribute error, which nothing here has: (5 mAP + sum over the four errors of 1 - min(1, error)) / 9.
- AP by rotated overlap at 0.3 and 0.5 (as RADIATE's authors score): 101 recall points, precision made monotonic, not
  cut.
- Recall: the share of true objects with a detection near enough, whatever its score.

Matching is greedy, best score first, over all frames. A velocity that the detector leaves unknown counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import CLASSES, Detections, Truth
from sensorfuse.track.box_corners import overlap_matrix

Array = NDArray[np.float64]
Pair = tuple[Detections, Truth]

RECALL_POINTS = 101
ERRORS = ("ate_m", "ase", "aoe_rad", "ave_mps")


@dataclass(frozen=True)
class ScoringConfig:
    """What is scored. Objects outside the range or the field of regard, or smaller than `min_size_m`, do not count on
    either side; `by_class` False scores all classes as one.
    """

    by_class: bool = False
    distances_m: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    error_distance_m: float = 2.0
    overlaps: tuple[float, ...] = (0.3, 0.5)
    max_range_m: float = 60.0
    azimuth_rad: float = 0.0  # middle of the field of regard, in base_link
    field_rad: float = 2 * np.pi
    min_size_m: float = 0.0  # of length and width, the longer
    min_recall: float = 0.1
    min_precision: float = 0.1
    yaw_period_rad: float = 2 * np.pi  # pi where the truth does not tell front from rear

    def __post_init__(self) -> None:
        if self.error_distance_m not in self.distances_m:
            raise SensorfuseError(
                f"scoring: error_distance_m = {self.error_distance_m:g} must be one of distances_m {self.distances_m}"
            )


@dataclass
class ClassScore:
    """Scores of one class (or of all as one). NaN: nothing to measure it on."""

    truths: int
    detections: int
    ap: dict[float, float] = field(default_factory=dict)  # by distance
    ap_overlap: dict[float, float] = field(default_factory=dict)
    recall: dict[float, float] = field(default_factory=dict)  # by distance, of all detections whatever their score
    errors: dict[str, float] = field(default_factory=dict)

    @property
    def mean_ap(self) -> float:
        return float(np.mean(list(self.ap.values()))) if self.ap else float("nan")


def score_sequence(pairs: Sequence[Pair], config: ScoringConfig | None = None) -> dict[str, Any]:
    """Score pairs of (detections, truth), one per frame, both in `base_link` at the same instant.

    Returns a plain dict: `mean_ap`, `nds`, the four errors, `ap` and `recall` by distance and `ap_overlap` by overlap
    (means over classes that occur), `classes` (the same per class), `frames`, `truths`, `detections`, `by_class`,
    `complete` (False: the annotation leaves objects out, so that precision is a lower bound) and `max_range_m`.
    """
    config = config or ScoringConfig()
    framed = [(_regard(found, truth, config), _regard(truth.objects, truth, config), truth) for found, truth in pairs]
    names = [c for k, c in enumerate(CLASSES) if any((real.class_id == k).any() for _, real, _ in framed)]
    per_class: dict[str, ClassScore] = {}
    if config.by_class:
        for name in names:
            k = CLASSES.index(name)
            frames = [(f.select(f.class_id == k), r.select(r.class_id == k)) for f, r, _ in framed]
            per_class[name] = score_class(frames, config)
    else:
        per_class["any"] = score_class([(f, r) for f, r, _ in framed], config)
    measured = [s for s in per_class.values() if s.truths]
    errors = {e: _mean([s.errors[e] for s in measured]) for e in ERRORS}
    mean_ap = _mean([s.mean_ap for s in measured])
    true_positive = sum(1 - min(1.0, v) if np.isfinite(v) else 0.0 for v in errors.values())
    return {
        "mean_ap": mean_ap,
        "nds": (5 * mean_ap + true_positive) / 9 if measured else float("nan"),
        **errors,
        "ap": {f"{d:g}": _mean([s.ap[d] for s in measured]) for d in config.distances_m},
        "recall": {f"{d:g}": _mean([s.recall[d] for s in measured]) for d in config.distances_m},
        "ap_overlap": {f"{o:g}": _mean([s.ap_overlap[o] for s in measured]) for o in config.overlaps},
        "classes": {name: asdict(s) | {"mean_ap": s.mean_ap} for name, s in per_class.items()},
        "frames": len(framed),
        "truths": sum(len(r) for _, r, _ in framed),
        "detections": sum(len(f) for f, _, _ in framed),
        "by_class": config.by_class,
        "complete": all(t.complete for _, _, t in framed),
        "max_range_m": config.max_range_m,
    }


def score_class(frames: Sequence[tuple[Detections, Detections]], config: ScoringConfig) -> ClassScore:
    """Score frames of (found, true) objects as one class."""
    truths = sum(len(r) for _, r in frames)
    out = ClassScore(truths, sum(len(f) for f, _ in frames))
    if not truths:
        return out
    rank = [(float(s), i, n) for i, (f, _) in enumerate(frames) for n, s in enumerate(f.score)]
    rank.sort(key=lambda row: -row[0])  # stable: ties keep the order of frames
    distance = [_distances(f, r) for f, r in frames]
    for limit in config.distances_m:
        matches = _match(rank, distance, limit)
        out.recall[limit] = float((matches >= 0).sum() / truths)
        out.ap[limit] = _cut_average_precision(matches, truths, config)
        if limit == config.error_distance_m:
            out.errors = _errors(rank, matches, frames, truths, config)
    overlap = [1 - overlap_matrix(f.center, f.size, f.yaw, r.center, r.size, r.yaw) for f, r in frames]
    for least in config.overlaps:
        out.ap_overlap[least] = _full_average_precision(_match(rank, overlap, 1 - least, inclusive=True), truths)
    return out


def _regard(objects: Detections, truth: Truth, config: ScoringConfig) -> Detections:
    """The objects that count."""
    reach = min(config.max_range_m, truth.range_m if truth.range_m is not None else np.inf)
    x, y = objects.center[:, 0], objects.center[:, 1]
    off = np.abs((np.arctan2(y, x) - config.azimuth_rad + np.pi) % (2 * np.pi) - np.pi)
    keep = (np.hypot(x, y) <= reach) & (off <= config.field_rad / 2 + 1e-12)
    return objects.select(keep & (objects.size[:, :2].max(axis=1, initial=0.0) >= config.min_size_m))


def _distances(found: Detections, real: Detections) -> Array:
    away = found.center[:, None, :2] - real.center[None, :, :2]
    return np.asarray(np.hypot(away[..., 0], away[..., 1]))


def _match(
    rank: list[tuple[float, int, int]], cost: list[Array], limit: float, inclusive: bool = False
) -> NDArray[np.int64]:
    """For each ranked detection the row of its true object in its frame, or -1: the nearest that is still free."""
    free = [np.ones(c.shape[1], bool) for c in cost]
    out = np.full(len(rank), -1, np.int64)
    for k, (_, i, n) in enumerate(rank):
        if not free[i].any():
            continue
        row = np.where(free[i], cost[i][n], np.inf)
        j = int(np.argmin(row))
        if row[j] < limit or (inclusive and row[j] <= limit):
            out[k] = j
            free[i][j] = False
    return out


def _curve(matches: NDArray[np.int64], truths: int) -> tuple[Array, Array]:
    """Recall and precision after each ranked detection."""
    hits = np.cumsum(matches >= 0)
    return hits / truths, hits / np.arange(1, len(matches) + 1)


def _cut_average_precision(matches: NDArray[np.int64], truths: int, config: ScoringConfig) -> float:
    if not (matches >= 0).any():
        return 0.0
    recall, precision = _curve(matches, truths)
    points = np.interp(np.linspace(0, 1, RECALL_POINTS), recall, precision, right=0)
    points = points[round(100 * config.min_recall) + 1 :] - config.min_precision
    return float(np.mean(np.maximum(points, 0)) / (1 - config.min_precision))


def _full_average_precision(matches: NDArray[np.int64], truths: int) -> float:
    if not (matches >= 0).any():
        return 0.0
    recall, precision = _curve(matches, truths)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(recall, np.linspace(0, 1, RECALL_POINTS) - 1e-12)
    return float(np.mean(np.where(index < len(best), best[np.minimum(index, len(best) - 1)], 0.0)))


def _errors(
    rank: list[tuple[float, int, int]],
    matches: NDArray[np.int64],
    frames: Sequence[tuple[Detections, Detections]],
    truths: int,
    config: ScoringConfig,
) -> dict[str, float]:
    """True-positive errors, averaged over the recall points between the least recall and the one reached; 1 where it is
    not.
    """
    hit = matches >= 0
    if not hit.any():
        return dict.fromkeys(ERRORS, 1.0)
    rows = [
        _pair_errors(frames[i][0], n, frames[i][1], int(j), config)
        for (_, i, n), j in zip(rank, matches, strict=True)
        if j >= 0
    ]
    recall, _ = _curve(matches, truths)
    points = np.linspace(0, 1, RECALL_POINTS)
    scores = np.array([s for s, _, _ in rank])
    confidence = np.interp(points, recall, scores, right=0)
    first = round(100 * config.min_recall) + 1
    reached = np.flatnonzero(confidence)
    last = int(reached[-1]) if len(reached) else -1
    if last < first:
        return dict.fromkeys(ERRORS, 1.0)
    out = {}
    for name, values in zip(ERRORS, np.array(rows).T, strict=True):
        mean = _running_mean(values)
        at_recall = np.interp(confidence[::-1], scores[hit][::-1], mean[::-1])[::-1]
        out[name] = float(np.mean(at_recall[first : last + 1]))
    return out


def _running_mean(values: Array) -> Array:
    """Mean so far, NaN left out; 1 before the first number."""
    known = np.isfinite(values)
    count = np.cumsum(known)
    total = np.cumsum(np.where(known, values, 0.0))
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), 1.0))


def _pair_errors(
    found: Detections, n: int, real: Detections, j: int, config: ScoringConfig
) -> tuple[float, float, float, float]:
    translation = float(np.hypot(*(found.center[n, :2] - real.center[j, :2])))
    both = float(np.prod(np.minimum(found.size[n], real.size[j])))
    scale = 1 - both / max(float(np.prod(found.size[n]) + np.prod(real.size[j])) - both, 1e-12)
    period = config.yaw_period_rad
    turn = abs((float(found.yaw[n] - real.yaw[j]) + period / 2) % period - period / 2)
    velocity = np.where(np.isfinite(found.velocity[n]), found.velocity[n], 0.0)
    return translation, scale, turn, float(np.hypot(*(velocity - real.velocity[j])))


def _mean(values: list[float]) -> float:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else float("nan")
