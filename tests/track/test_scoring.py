"""Scores against an independent, slow implementation of the same definitions and hand-computed cases."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from track_worlds import make_detections

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import CLASSES, Detections, Truth
from sensorfuse.track.scoring import ScoringConfig, score_sequence


def truth_of(objects: Detections, **more: object) -> Truth:
    return Truth(0, objects, **more)  # type: ignore[arg-type]


def random_frames(seed: int, frames: int = 6) -> list[tuple[Detections, Truth]]:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(frames):
        n = int(rng.integers(1, 7))
        real = make_detections(rng.uniform(-30, 30, (n, 2)), velocity=rng.normal(0, 4, (n, 2)))
        real.yaw[:] = rng.uniform(-np.pi, np.pi, n)
        real.class_id[:] = rng.integers(0, 2, n)
        real.size[:] *= rng.uniform(0.8, 1.2, (n, 3))
        hits = rng.random(n) < 0.8
        extra = int(rng.integers(0, 4))
        places = np.vstack(
            [real.center[hits, :2] + rng.normal(0, 0.9, (hits.sum(), 2)), rng.uniform(-30, 30, (extra, 2))]
        )
        found = make_detections(places, velocity=rng.normal(0, 4, (len(places), 2)))
        found.score[:] = rng.random(len(places))
        found.class_id[:] = np.append(real.class_id[hits], rng.integers(0, 2, extra))
        found.yaw[:] = np.append(real.yaw[hits] + rng.normal(0, 0.3, hits.sum()), rng.uniform(-3, 3, extra))
        found.size[:] *= rng.uniform(0.8, 1.2, (len(places), 3))
        pairs.append((found, truth_of(real)))
    return pairs


class SlowScore:
    """One class, loops only, written from the definitions: pooled detections, greedy matching, sampled curves."""

    def __init__(self, pairs: list[tuple[Detections, Truth]], cost, limit: float) -> None:  # type: ignore[no-untyped-def]
        pool = sorted(
            ((-float(f.score[n]), i, n) for i, (f, _) in enumerate(pairs) for n in range(len(f))), key=lambda r: r[0]
        )
        self.truths = sum(len(t.objects) for _, t in pairs)
        taken: set[tuple[int, int]] = set()
        self.rows: list[tuple[float, tuple[int, int, int] | None]] = []
        for negative, i, n in pool:
            found, real = pairs[i][0], pairs[i][1].objects
            best, best_cost = None, math.inf
            for j in range(len(real)):
                if (i, j) not in taken and cost(found, n, real, j) < best_cost:
                    best, best_cost = j, cost(found, n, real, j)
            if best is not None and best_cost < limit:
                taken.add((i, best))
                self.rows.append((-negative, (i, n, best)))
            else:
                self.rows.append((-negative, None))
        self.recall, self.precision, hits = [], [], 0
        for k, (_, match) in enumerate(self.rows):
            hits += match is not None
            self.recall.append(hits / self.truths)
            self.precision.append(hits / (k + 1))

    def at(self, curve: list[float], recall: float) -> float:
        """Linear interpolation over recall, the later of equal recalls; 0 beyond the last."""
        if recall > self.recall[-1]:
            return 0.0
        if recall <= self.recall[0]:
            return (
                curve[0] if recall < self.recall[0] else curve[max(k for k, r in enumerate(self.recall) if r == recall)]
            )
        above = next(k for k, r in enumerate(self.recall) if r > recall) if recall < self.recall[-1] else len(curve)
        if above == len(curve):
            return curve[-1]
        r0, r1 = self.recall[above - 1], self.recall[above]
        return curve[above - 1] + (recall - r0) / (r1 - r0) * (curve[above] - curve[above - 1])

    def average_precision(self) -> float:
        total = sum(max(self.at(self.precision, k / 100) - 0.1, 0.0) for k in range(11, 101))
        return total / 90 / 0.9

    def full_average_precision(self) -> float:
        total = 0.0
        for k in range(101):
            reachable = [p for r, p in zip(self.recall, self.precision, strict=True) if r >= k / 100 - 1e-12]
            total += max(reachable, default=0.0)
        return total / 101


def distance(found: Detections, n: int, real: Detections, j: int) -> float:
    return math.dist(found.center[n, :2], real.center[j, :2])


def one_minus_overlap(found: Detections, n: int, real: Detections, j: int) -> float:
    rectangles = [
        (tuple(d.center[k, :2]), tuple(d.size[k, :2]), math.degrees(d.yaw[k])) for d, k in ((found, n), (real, j))
    ]
    kind, polygon = cv2.rotatedRectangleIntersection(*rectangles)
    area = cv2.contourArea(cv2.convexHull(polygon)) if kind else 0.0
    return 1 - area / (float(found.size[n, :2].prod() + real.size[j, :2].prod()) - area)


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_agrees_with_the_slow_one(seed: int) -> None:
    pairs = random_frames(seed)
    score = score_sequence(pairs)
    for limit in (0.5, 1.0, 2.0, 4.0):
        slow = SlowScore(pairs, distance, limit)
        assert score["ap"][f"{limit:g}"] == pytest.approx(slow.average_precision(), abs=1e-9)
        assert score["recall"][f"{limit:g}"] == pytest.approx(slow.recall[-1], abs=1e-12)
    for least in (0.3, 0.5):
        overlapping = SlowScore(pairs, one_minus_overlap, 1 - least).full_average_precision()
        assert score["ap_overlap"][f"{least:g}"] == pytest.approx(overlapping, abs=1e-6)
    assert score["mean_ap"] == pytest.approx(np.mean(list(score["ap"].values())))


def test_by_class_is_the_mean_over_classes_that_occur() -> None:
    pairs = random_frames(3)
    score = score_sequence(pairs, ScoringConfig(by_class=True))
    slow = []
    for k in (0, 1):
        part = [(f.select(f.class_id == k), truth_of(t.objects.select(t.objects.class_id == k))) for f, t in pairs]
        slow.append(SlowScore(part, distance, 1.0).average_precision())
        assert score["classes"][CLASSES[k]]["ap"][1.0] == pytest.approx(slow[-1], abs=1e-9)
    assert score["ap"]["1"] == pytest.approx(np.mean(slow), abs=1e-9)
    assert set(score["classes"]) == {"car", "van"}


def test_perfect_detections() -> None:
    real = make_detections(np.array([[10.0, 0], [20, 5], [-8, 3]]), velocity=np.array([[1.0, 0], [0, 2], [3, 3]]))
    score = score_sequence([(real, truth_of(real))] * 3)
    assert score["mean_ap"] == pytest.approx(1.0)
    assert score["nds"] == pytest.approx(1.0)
    assert [score[e] for e in ("ate_m", "ase", "aoe_rad", "ave_mps")] == pytest.approx([0, 0, 0, 0])
    assert score["ap_overlap"] == pytest.approx({"0.3": 1.0, "0.5": 1.0})


def test_a_hand_computed_case() -> None:
    """Two truths; detections: a hit at 0.9, a miss at 0.8, a hit at 0.7. Recall 0.5, 0.5, 1; precision 1, 1/2, 2/3."""
    real = make_detections(np.array([[10.0, 0.0], [30.0, 0.0]]), velocity=np.zeros((2, 2)))
    found = make_detections(
        np.array([[10.3, 0.0], [-20.0, 0.0], [30.0, 0.4]]), velocity=np.array([[1.0, 0], [0, 0], [3, 0]])
    )
    found.score[:] = [0.9, 0.8, 0.7]
    found.yaw[:] = [0.2, 0.0, 0.4]
    found.size[2, 2] *= 0.5
    score = score_sequence([(found, truth_of(real))])
    points = [1.0] * 39 + [0.5 + (k - 50) / 50 * (2 / 3 - 0.5) for k in range(50, 101)]  # at recall 0.11, 0.12 ...
    assert score["ap"]["0.5"] == pytest.approx(np.mean(np.array(points) - 0.1) / 0.9)
    # Errors over recall 0.11 .. 1: confidence falls from 0.9 by 0.8 at recall 0.5 to 0.7 at 1.
    confidence = np.array([0.9] * 39 + [0.8 - (k - 50) / 50 * 0.1 for k in range(50, 101)])

    def mean_error(first: float, so_far: float) -> float:
        return float(np.interp(-confidence, [-0.9, -0.7], [first, so_far]).mean())

    assert score["ate_m"] == pytest.approx(mean_error(0.3, 0.35))
    assert score["ave_mps"] == pytest.approx(mean_error(1.0, 2.0))
    assert score["aoe_rad"] == pytest.approx(mean_error(0.2, 0.3))
    assert score["ase"] == pytest.approx(mean_error(0.0, 0.25))
    errors = [min(1.0, score[e]) for e in ("ate_m", "ase", "aoe_rad", "ave_mps")]
    assert score["nds"] == pytest.approx((5 * score["mean_ap"] + sum(1 - e for e in errors)) / 9)


def test_unknown_velocity_counts_as_standing() -> None:
    real = make_detections(np.array([[10.0, 0.0]]), velocity=np.array([[3.0, 4.0]]))
    assert score_sequence([(make_detections(np.array([[10.0, 0]])), truth_of(real))])["ave_mps"] == pytest.approx(5.0)


def test_what_lies_outside_does_not_count() -> None:
    real = make_detections(np.array([[10.0, 0.0], [70.0, 0.0], [-10.0, 0.0]]), velocity=np.zeros((3, 2)))
    found = make_detections(np.array([[10.0, 0.0], [-10.0, 1.0]]))
    ahead = ScoringConfig(max_range_m=60.0, field_rad=np.pi / 2)
    score = score_sequence([(found, truth_of(real))], ahead)
    assert (score["truths"], score["detections"], score["mean_ap"]) == (1, 1, pytest.approx(1.0))
    near = score_sequence([(found, truth_of(real, range_m=5.0))])
    assert near["truths"] == 0
    assert math.isnan(near["mean_ap"])
    assert score_sequence([(found, truth_of(real))], ScoringConfig(min_size_m=5.0))["truths"] == 0


def test_heading_may_be_known_to_half_a_turn_only() -> None:
    real = make_detections(np.array([[10.0, 0.0]]), velocity=np.zeros((1, 2)))
    found = make_detections(np.array([[10.0, 0.0]]))
    found.yaw[:] = np.pi
    assert score_sequence([(found, truth_of(real))])["aoe_rad"] == pytest.approx(np.pi)
    half = score_sequence([(found, truth_of(real))], ScoringConfig(yaw_period_rad=np.pi))
    assert half["aoe_rad"] == pytest.approx(0.0, abs=1e-12)


def test_incomplete_annotation_is_said() -> None:
    real = make_detections(np.array([[10.0, 0.0]]), velocity=np.zeros((1, 2)))
    assert score_sequence([(real, truth_of(real))])["complete"]
    assert not score_sequence([(real, truth_of(real)), (real, truth_of(real, complete=False))])["complete"]


def test_nothing_to_score() -> None:
    nothing = score_sequence([])
    assert math.isnan(nothing["nds"])
    real = make_detections(np.array([[10.0, 0.0]]), velocity=np.zeros((1, 2)))
    missed = score_sequence([(Detections.empty(), truth_of(real))])
    assert missed["mean_ap"] == 0.0
    assert missed["nds"] == 0.0
    with pytest.raises(SensorfuseError, match="error_distance_m"):
        ScoringConfig(error_distance_m=3.0)
