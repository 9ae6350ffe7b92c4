from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.streaming_accuracy import (
    PublishedFrame,
    moved_to,
    newest_at,
    publish,
    score_log,
    streaming_score,
    table,
)
from sensorfuse.geometry import motion_between
from sensorfuse.log.writer import LogWriter
from sensorfuse.messages import CLASSES, Detections, FusedFrame, Truth

MS = 1_000_000
STILL = np.zeros(6)


def cars(xy: list[tuple[float, float]], velocity: tuple[float, float] = (0.0, 0.0), yaw: float = 0.0) -> Detections:
    n = len(xy)
    return Detections(
        np.full(n, CLASSES.index("car"), np.uint8),
        np.full(n, 0.9, np.float32),
        np.column_stack([np.array(xy, float).reshape(n, 2), np.full(n, 0.8)]),
        np.tile([4.4, 1.8, 1.5], (n, 1)),
        np.full(n, yaw),
        np.tile(np.array(velocity, float), (n, 1)),
        np.tile(np.eye(4) * 0.1, (n, 1, 1)),
        np.arange(n),
    )


def frame(t_ms: int, late_ms: int, objects: Detections, twist: np.ndarray = STILL) -> PublishedFrame:  # type: ignore[type-arg]
    return PublishedFrame((t_ms + late_ms) * MS, t_ms * MS, objects, twist)


def test_newest_is_of_those_published_by_then() -> None:
    none = cars([])
    frames = [frame(0, 100, none), frame(100, 100, none), frame(200, 350, none), frame(300, 50, none)]
    held = newest_at(frames, [t * MS for t in (99, 100, 199, 200, 349, 350, 600)])
    assert [None if f is None else f.t_ref_ns // MS for f in held] == [None, 0, 0, 100, 100, 300, 300]


def test_objects_go_on_and_the_robot_does_too() -> None:
    """A car 10 m ahead drives on at 20 m/s while the robot follows at 15: half a second later it is 12.5 m ahead."""
    ahead = frame(0, 0, cars([(10.0, 0.0)], (20.0, 0.0)), np.array([15.0, 0, 0, 0, 0, 0]))
    later = moved_to(ahead, 500 * MS)
    assert later.center[0, :2] == pytest.approx([12.5, 0.0])
    assert moved_to(ahead, 0).center[0, :2] == pytest.approx([10.0, 0.0])
    unknown = moved_to(frame(0, 0, cars([(10.0, 0.0)], (math.nan, math.nan))), 500 * MS)
    assert unknown.center[0, :2] == pytest.approx([10.0, 0.0])


def test_a_turning_robot_sees_what_stands_turn_away() -> None:
    twist = np.array([8.0, 0, 0, 0, 0, 0.5])
    post = frame(0, 0, cars([(12.0, 3.0)], yaw=0.3), twist)
    later = moved_to(post, 180 * MS)
    T_now_then = motion_between(twist, 0.18)
    assert later.center[0] == pytest.approx(T_now_then @ np.array([12.0, 3.0, 0.8]), abs=1e-3)
    assert later.yaw[0] == pytest.approx(0.3 - 0.09, abs=1e-6)
    blind = frame(0, 0, cars([(12.0, 3.0)]), np.full(6, np.inf))
    assert moved_to(blind, 180 * MS).center[0, :2] == pytest.approx([12.0, 3.0])


def test_scores_of_a_hand_made_drive() -> None:
    """A car passes at 20 m/s; every frame is right and comes 100 ms late. As it is, a frame is 100 to 200 ms old, the
    car 2 to 4 m away from where it is said to be; moved on it is right; had it taken no time it were right too.
    """
    v = 20.0

    def place(t_ms: float) -> list[tuple[float, float]]:
        return [(-20 + v * t_ms / 1000, 5.0)]

    frames = [frame(t, 100, cars(place(t), (v, 0))) for t in range(0, 1000, 100)]
    truths = [Truth(t * MS, cars(place(t), (v, 0))) for t in range(150, 1000, 100)]
    score = streaming_score(frames, truths)
    assert score["as_is"]["ap"] == pytest.approx({"0.5": 0, "1": 0, "2": 0, "4": 1})
    assert score["moved"]["mean_ap"] == pytest.approx(1)
    assert score["moved"]["ate_m"] == pytest.approx(0, abs=1e-9)
    assert score["at_once"]["mean_ap"] == pytest.approx(1)
    assert score["age_ms"]["p50"] == pytest.approx(150)
    assert score["unseen"] == 0
    early = streaming_score(frames, [Truth(50 * MS, cars(place(50), (v, 0))), *truths])
    assert early["unseen"] == 1
    assert early["moved"]["truths"] == 10
    assert early["moved"]["mean_ap"] < 1


def test_more_latency_is_worse_as_it_is() -> None:
    truths = [Truth(t * MS, cars([(t / 100, 0.0)], (10, 0))) for t in range(300, 900, 100)]
    scores = [
        streaming_score([frame(t, late, cars([(t / 100, 0.0)], (10, 0))) for t in range(0, 900, 100)], truths)
        for late in (0, 100, 200, 300)
    ]
    assert [s["as_is"]["mean_ap"] for s in scores] == pytest.approx([1, 0.5, 0.25, 0.25], abs=0.26)
    falling = [s["as_is"]["mean_ap"] for s in scores]
    assert falling[0] > falling[1] > falling[3]
    assert [s["moved"]["mean_ap"] for s in scores] == pytest.approx([1, 1, 1, 1])


def test_no_frames_and_no_truth() -> None:
    nothing = streaming_score([], [Truth(0, cars([(5.0, 0.0)]))])
    assert (nothing["as_is"]["mean_ap"], nothing["unseen"], nothing["age_ms"]) == (0, 1, {})
    assert math.isnan(streaming_score([frame(0, 0, cars([(5.0, 0.0)]))], [])["moved"]["mean_ap"])


def fused(t_ms: int) -> FusedFrame:
    return FusedFrame(
        tick_id=t_ms,
        t_ref_ns=t_ms * MS,
        detections=cars([]),
        tracks=cars([(t_ms / 100, 0.0)], (10, 0)),
        twist=STILL,
        twist_sigma=STILL,
        pose=np.eye(4),
        sounds=[],
        uses=[],
        strategy="late",
        model="",
        engine="",
        precision="",
        deadline_hit=False,
        mode="full",
    )


def test_a_fused_log_with_truth(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with LogWriter(path) as writer:
        for t in range(0, 1000, 100):
            writer.write_frame(fused(t), t * MS)
            writer.write_truth(Truth(t * MS, cars([(t / 100, 0.0)], (10, 0))))
    lines = table(score_log(path, None, [0.0, 110.0])).splitlines()
    assert lines[1].split()[:3] == ["0", "1.000", "1.000"]
    assert float(lines[2].split()[1]) < 0.5
    assert [f.published_ns for f in publish([fused(200)], 5)] == [200 * MS + 5]
    with pytest.raises(SensorfuseError, match="no such file"):
        score_log(tmp_path / "no.mcap", None, [0.0])
