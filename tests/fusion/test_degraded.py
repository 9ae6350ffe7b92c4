"""What a degraded mode is said to cost is what the strategy's card says, and held evidence is less certain."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.fusion.degraded import UNMEASURED, Expectations, age, fade, overdue_s
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.messages import CLASSES, MODALITIES, Detections, StreamTick
from sensorfuse.rig import Rig
from sensorfuse.track.tracker import ObjectTracker

EVERY = set(MODALITIES)
PERIODS = {"camera": 50_000_000, "lidar": 100_000_000}


def boxes() -> Detections:
    n = 3
    return Detections(
        np.array([CLASSES.index(c) for c in ("car", "pedestrian", "unknown")], np.uint8),
        np.full(n, 0.8, np.float32),
        np.array([[10.0, 0, 0], [5, 5, 0], [20, -4, 0]]),
        np.ones((n, 3)),
        np.zeros(n),
        np.zeros((n, 2)),
        np.tile(0.1 * np.eye(4), (n, 1, 1)),
        np.full(n, -1),
    )


def test_a_mode_has_the_figures_of_its_card(synthetic_rig: Rig) -> None:
    fuser = make_fuser(synthetic_rig, "late")
    known = Expectations.read(fuser.strategy, fuser.model)
    card = json.loads((weights_folder() / "late.json").read_text())["accuracy"]
    nds = {name: row["nds"] for name, row in card["conditions"].items()}
    assert known.of(EVERY).score == nds["all"]
    assert known.of(EVERY - {"lidar"}).score == nds["no_lidar"]
    assert known.of({"imu", "audio", "radar"}).score == nds["only_radar"]
    assert known.of(EVERY).ms == pytest.approx(sum(card["median_ms"].values()))
    without = sum(v for k, v in card["median_ms"].items() if k != "encode_lidar")
    assert known.of(EVERY - {"lidar"}).ms == pytest.approx(without)
    assert "NDS" in known.of(EVERY).figure
    partly = Expectations({**card, "median_ms": {k: v for k, v in card["median_ms"].items() if k != "encode_lidar"}})
    assert math.isnan(partly.of(EVERY).ms), "a part that was not timed leaves no sum"
    assert partly.of(EVERY - {"lidar"}).ms == pytest.approx(without)


def test_what_was_not_measured_is_said_so(tmp_path: Path) -> None:
    known = Expectations.read("late", "")
    assert known.of({"audio"}) == UNMEASURED
    assert math.isnan(UNMEASURED.score)
    assert known.of(set()) == UNMEASURED
    assert Expectations.read("late", "other weights").of(EVERY) == UNMEASURED
    assert Expectations.read("no_such", "").of(EVERY) == UNMEASURED
    for text in ("", "[]", "{}", '{"accuracy": 3}', '{"accuracy": {"model": "", "conditions": {"all": {}}}}'):
        (tmp_path / "late.json").write_text(text)
        assert Expectations.read("late", "", tmp_path).of(EVERY) == UNMEASURED


def test_less_than_a_vote_is_less_score_and_less_information() -> None:
    found = boxes()
    assert fade(found, 1.0) is found
    half = fade(found, 0.5)
    np.testing.assert_allclose(half.score, 0.4)
    np.testing.assert_allclose(half.covariance, 2 * found.covariance)
    np.testing.assert_array_equal(found.covariance, boxes().covariance)


def test_only_what_is_overdue_counts_and_as_much_as_it_weighed() -> None:
    def tick(age_ms: float) -> list[StreamTick]:
        camera = StreamTick("camera", "camera", "ok", dt_ns=round(-age_ms * 1e6))
        return [
            camera,
            StreamTick("lidar", "lidar", "ok", dt_ns=-20_000_000),
            StreamTick("imu", "imu", "ok", dt_ns=-(10**9)),
        ]

    weights = {"camera": 0.2, "lidar": 0.6, "imu": 0.2}
    used = ["camera", "lidar", "imu"]
    assert overdue_s(tick(40), used, weights, PERIODS) == 0.0
    assert overdue_s(tick(250), used, weights, PERIODS) == pytest.approx(0.2 * 0.25)
    assert overdue_s(tick(250), ["lidar"], weights, PERIODS) == 0.0
    assert overdue_s(tick(250), [], {}, PERIODS) == 0.0


def test_objects_of_a_held_map_may_have_moved_as_their_kind_does() -> None:
    found = boxes()
    held = age(found, 0.2)
    grown = held.covariance[:, 0, 0] - found.covariance[:, 0, 0]
    assert grown[0] == pytest.approx((8.0 * 0.2) ** 2)
    assert grown[0] > grown[1] > 0
    assert age(found, 0.0) is found


def test_tracks_grow_less_certain_while_nobody_looks() -> None:
    tracker = ObjectTracker()
    for k in range(5):
        seen = tracker.update(k * 100_000_000, {"lidar": boxes()}, np.eye(4))
    sigma = [np.sqrt(seen.covariance[:, 0, 0]).max()]
    count = len(seen)
    assert count == 3
    for k in range(5, 12):
        coasting = tracker.update(k * 100_000_000, {}, np.eye(4))
        sigma.append(np.sqrt(coasting.covariance[:, 0, 0]).max())
    assert (np.diff(sigma) > 0).all()
    for k in range(12, 100):
        coasting = tracker.update(k * 100_000_000, {}, np.eye(4))
    assert len(coasting) == 0, "and end when nobody knows any more where they are"
