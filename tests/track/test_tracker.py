"""What the tracker promises: identity, absence, existence, restoration, determinism."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from track_worlds import make_detections

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES, Detections
from sensorfuse.rig import Rig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import SourceConfig, TrackerConfig

PERIOD_NS = 100_000_000
HERE = np.eye(4)


def feed(
    tracker: ObjectTracker,
    ticks: int,
    first: int = 0,
    xy: Sequence[tuple[float, float]] = ((15.0, 2.0),),
    velocity: tuple[float, float] = (0.0, 0.0),
    name: str = "lidar",
) -> Detections:
    """Ticks with one detection per object of `xy` that moves with `velocity`."""
    out = Detections.empty()
    for k in range(first, first + ticks):
        places = np.array(xy) + np.array(velocity) * k * 0.1
        out = tracker.update(k * PERIOD_NS, {name: make_detections(places)}, HERE)
    return out


def test_a_track_is_confirmed_by_repetition() -> None:
    tracker = ObjectTracker()
    assert len(feed(tracker, 1)) == 0
    tracks = feed(tracker, 4, 1)
    assert len(tracks) == 1
    assert tracks.track_id[0] >= 0
    np.testing.assert_allclose(tracks.center[0, :2], [15.0, 2.0], atol=0.05)
    assert tracks.score[0] > 0.6


def test_what_scores_low_is_followed_and_not_reported() -> None:
    """A thing at rest that its detector hardly takes for an object; once the detector is sure, the track is there."""
    tracker = ObjectTracker()
    doubtful, sure = make_detections(np.array([[15.0, 2.0]])), make_detections(np.array([[15.0, 2.0]]))
    doubtful.score[:] = 0.08
    for k in range(40):
        assert len(tracker.update(k * PERIOD_NS, {"lidar": doubtful}, HERE)) == 0
    assert tracker._tracks.confirmed.sum() == 1
    kept = int(tracker._tracks.track_id[0])
    for k in range(40, 50):
        tracks = tracker.update(k * PERIOD_NS, {"lidar": sure}, HERE)
    assert tracks.track_id.tolist() == [kept]


def test_a_source_that_did_not_look_takes_nothing_away() -> None:
    tracker = ObjectTracker()
    before = feed(tracker, 8)
    existence = tracker._tracks.existence.copy()
    for k in range(8, 18):
        after = tracker.update(k * PERIOD_NS, {}, HERE)
    np.testing.assert_array_equal(after.track_id, before.track_id)
    np.testing.assert_array_equal(tracker._tracks.existence, existence)
    assert after.covariance[0, 0, 0] > before.covariance[0, 0, 0]


def test_a_source_that_looked_and_saw_nothing_ends_the_track() -> None:
    tracker = ObjectTracker()
    feed(tracker, 8)
    for k in range(8, 30):
        after = tracker.update(k * PERIOD_NS, {"lidar": Detections.empty()}, HERE)
    assert len(after) == 0
    assert len(tracker) == 0


def test_a_source_cannot_deny_what_it_cannot_see() -> None:
    """The track lies behind a forward radar and beyond a short-range sensor: their silence means nothing."""
    config = TrackerConfig(sources={"radar": SourceConfig(fov_rad=2.0), "near": SourceConfig(max_range_m=10.0)})
    tracker = ObjectTracker(config)
    feed(tracker, 8, xy=((-15.0, 2.0),))
    for k in range(8, 24):
        after = tracker.update(k * PERIOD_NS, {"radar": Detections.empty(), "near": Detections.empty()}, HERE)
    assert len(after) == 1


def test_hidden_objects_last_longer() -> None:
    """A detection in front of a track explains why the track is not seen."""

    def ticks_alive(cover: bool) -> int:
        tracker = ObjectTracker()
        feed(tracker, 8, xy=((30.0, 0.0),))
        for k in range(8, 80):
            seen = make_detections(np.array([[12.0, 0.0]]) if cover else np.array([[12.0, 9.0]]))
            tracks = tracker.update(k * PERIOD_NS, {"lidar": seen}, HERE)
            if not (tracks.center[:, 0] > 25).any():
                return k
        return 80

    assert ticks_alive(cover=True) > 1.5 * ticks_alive(cover=False) - 4


def test_nobody_looks_for_long_and_the_track_is_given_up() -> None:
    tracker = ObjectTracker()
    feed(tracker, 8)
    for k in range(8, 120):
        tracks = tracker.update(k * PERIOD_NS, {}, HERE)
    assert len(tracks) == 0


@pytest.mark.parametrize("speed", [3.0, 8.0])
def test_crossing_targets_keep_their_identity(speed: float) -> None:
    tracker = ObjectTracker()
    rng = np.random.default_rng(0)
    first: dict[int, int] = {}
    for k in range(60):
        t = (k - 30) * 0.1
        truth = np.array([[20 + speed * t, 0.8 * t], [20 - speed * t, 1.2 - 0.8 * t]])
        tracks = tracker.update(
            k * PERIOD_NS, {"lidar": make_detections(truth + rng.normal(0, 0.1, (2, 2)), sigma_m=0.15)}, HERE
        )
        for n in range(2):
            if 8 < k < 22 or k > 40:
                near = int(np.argmin(np.hypot(*(tracks.center[:, :2] - truth[n]).T)))
                first.setdefault(n, int(tracks.track_id[near]))
                assert tracks.track_id[near] == first[n]
    assert first[0] != first[1]


def test_velocity_is_learnt_from_places() -> None:
    tracks = feed(ObjectTracker(), 30, velocity=(7.0, -2.0))
    np.testing.assert_allclose(tracks.velocity[0], [7.0, -2.0], atol=0.3)
    assert tracks.yaw[0] == pytest.approx(np.arctan2(-2.0, 7.0), abs=0.1)


def test_motion_tells_front_from_rear() -> None:
    tracks = feed(ObjectTracker(), 20, xy=((30.0, 0.0),), velocity=(-6.0, 0.0))  # detections say yaw 0
    assert abs(tracks.yaw[0]) == pytest.approx(np.pi, abs=0.05)


def test_tracks_are_the_same_from_any_pose() -> None:
    """A moving, turning body and a fixed one see the same objects over ground."""
    fixed, moving = ObjectTracker(), ObjectTracker()
    for k in range(25):
        place = np.array([[20.0 + 0.5 * k, 3.0]])
        pose = Transform.from_rpy([0.8 * k, 0.1 * k, 0.0], [0.0, 0.0, 0.03 * k])
        local = (pose.inverse() @ np.column_stack([place, [[0.8]]]))[:, :2]
        found = make_detections(local)
        found.yaw[:] = -0.03 * k
        a = fixed.update(k * PERIOD_NS, {"lidar": make_detections(place)}, HERE)
        b = moving.update(k * PERIOD_NS, {"lidar": found}, pose.matrix())
    np.testing.assert_allclose((pose @ b.center)[:, :2], a.center[:, :2], atol=1e-6)
    np.testing.assert_allclose(b.velocity @ pose.rotation[:2, :2].T, a.velocity, atol=1e-6)
    turn = np.kron(np.eye(2), pose.rotation[:2, :2])
    np.testing.assert_allclose(turn @ b.covariance[0] @ turn.T, a.covariance[0], atol=1e-6)


def test_two_sources_in_one_tick_make_one_track() -> None:
    tracker = ObjectTracker()
    rng = np.random.default_rng(1)
    for k in range(12):
        lidar = make_detections(np.array([[15.0, 2.0]]) + rng.normal(0, 0.1, (1, 2)))
        radar = make_detections(
            np.array([[15.4, 2.2]]) + rng.normal(0, 0.3, (1, 2)), sigma_m=0.5, velocity=np.zeros((1, 2))
        )
        tracks = tracker.update(k * PERIOD_NS, {"lidar": lidar, "radar": radar}, HERE)
    assert len(tracks) == 1
    assert np.hypot(*(tracks.center[0, :2] - [15.05, 2.0])) < 0.25  # nearer to the better sensor


def test_scattered_clutter_makes_no_tracks() -> None:
    tracker, rng = ObjectTracker(), np.random.default_rng(2)
    confirmed = 0
    for k in range(60):
        clutter = make_detections(rng.uniform(-50, 50, (8, 2)), score=0.3)
        confirmed += len(tracker.update(k * PERIOD_NS, {"lidar": clutter}, HERE))
    assert confirmed / 60 < 0.5


def test_class_follows_the_majority() -> None:
    tracker = ObjectTracker()
    names = ["car", "van", "car", "car", "unknown", "car", "van", "car"]
    for k, name in enumerate(names):
        tracks = tracker.update(
            k * PERIOD_NS, {"lidar": make_detections(np.array([[15.0, 2.0]]), class_name=name)}, HERE
        )
    assert CLASSES[tracks.class_id[0]] == "car"


def test_restored_tracks_go_on() -> None:
    first = ObjectTracker()
    before = feed(first, 15, xy=((15.0, 2.0), (-9.0, 4.0)), velocity=(5.0, 0.0))
    second = ObjectTracker()
    second.restore(before, HERE, 14 * PERIOD_NS)
    a, b = (feed(t, 1, 15, xy=((15.0, 2.0), (-9.0, 4.0)), velocity=(5.0, 0.0)) for t in (first, second))
    np.testing.assert_array_equal(a.track_id, b.track_id)
    np.testing.assert_allclose(a.center, b.center, atol=1e-6)
    np.testing.assert_allclose(a.velocity, b.velocity, atol=1e-6)
    grown = feed(second, 6, 16, xy=((15.0, 2.0), (-9.0, 4.0), (0.0, -20.0)), velocity=(5.0, 0.0))
    assert len(set(grown.track_id.tolist())) == 3
    assert grown.track_id.max() > before.track_id.max()


def test_the_same_input_gives_the_same_bytes() -> None:
    def run(backwards: bool) -> Iterator[bytes]:
        tracker, rng = ObjectTracker(), np.random.default_rng(3)
        for k in range(20):
            parts = {n: make_detections(rng.uniform(-15, 15, (12, 2))) for n in ("radar", "lidar")}
            parts = dict(sorted(parts.items(), reverse=backwards))  # the order of a dict means nothing
            out = tracker.update(k * PERIOD_NS, parts, HERE)
            yield b"".join(np.ascontiguousarray(getattr(out, f)).tobytes() for f in Detections.__dataclass_fields__)

    assert list(run(False)) == list(run(False)) == list(run(True))


def test_detections_that_are_not_numbers_are_passed_over() -> None:
    tracker = ObjectTracker()
    for k in range(5):
        found = make_detections(np.array([[15.0, 2.0], [np.nan, 1.0], [20.0, -9.0]]))
        found.covariance[2] = np.inf
        tracks = tracker.update(k * PERIOD_NS, {"lidar": found}, HERE)
    assert len(tracks) == 1
    assert np.isfinite(tracks.center).all()


def test_time_that_stands_still_or_runs_back_is_no_motion() -> None:
    tracker = ObjectTracker()
    feed(tracker, 10, velocity=(5.0, 0.0))
    again = tracker.update(5 * PERIOD_NS, {}, HERE)
    np.testing.assert_allclose(again.center[0, 0], 15.0 + 4.5, atol=0.2)


def test_configuration_follows_the_rig(synthetic_rig: Rig) -> None:
    sources = TrackerConfig.from_rig(synthetic_rig).sources
    assert set(sources) == {"lidar", "radar"}
    assert sources["radar"].fov_rad < np.radians(121)
    assert sources["lidar"].fov_rad == pytest.approx(2 * np.pi)
