from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sensorfuse.fusion.evaluation.corruptions import cross_sensor
from sensorfuse.fusion.evaluation.corruptions.cross_sensor import Message, Schedule, Span
from sensorfuse.messages import MODALITIES
from sensorfuse.rig import Rig

MS = 1_000_000
SPAN = Span(1000 * MS, 1400 * MS)
PERIOD_MS = 50


def stream(modality: str = "lidar", n: int = 40) -> Schedule:
    return Schedule(modality, tuple(Message(k, k * PERIOD_MS * MS) for k in range(n)))  # type: ignore[arg-type]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbers(schedule: Schedule) -> list[int]:
    return [m.k for m in schedule.messages]


def test_lost_is_nested_and_at_last_complete() -> None:
    few, some, none = (set(numbers(cross_sensor.lost(stream(), SPAN, x, rng()))) for x in (0.2, 0.6, 1.0))
    assert none == set() < some < few < set(range(40))


def test_frozen_shows_what_was_before_it_stuck() -> None:
    """Stuck since half a second before the last tick, 0.9 s: message 18 was the last of its own."""
    messages = cross_sensor.frozen(stream(), SPAN, 0.5, rng()).messages
    assert [m.content for m in messages] == [min(k, 18) for k in range(40)]
    assert numbers(cross_sensor.frozen(stream(), SPAN, 0.5, rng())) == list(range(40))
    stuck = [sum(m.content != m.k for m in cross_sensor.frozen(stream(), SPAN, x, rng()).messages) for x in (0, 0.3, 1)]
    assert stuck == sorted(stuck)
    assert stuck[0] == 0


def test_offset_is_one_error_either_way() -> None:
    errors = [{m.error_ns for m in cross_sensor.offset(stream(), SPAN, 1.0, rng(s)).messages} for s in range(8)]
    assert set.union(*errors) == {-300 * MS, 300 * MS}
    assert all(len(e) == 1 for e in errors)
    assert abs(cross_sensor.offset(stream(), SPAN, 1e-9, rng()).messages[0].error_ns) == pytest.approx(
        10 * MS, rel=1e-3
    )


def test_jitter_is_an_error_for_every_message() -> None:
    errors = np.array([m.error_ns for m in cross_sensor.jitter(stream(n=2000), SPAN, 0.5, rng()).messages])
    assert errors.std() == pytest.approx(50 * MS, rel=0.05)
    assert abs(errors.mean()) < 5 * MS


def test_slowed_keeps_one_of_so_many_evenly() -> None:
    kept = numbers(cross_sensor.slowed(stream(n=400), SPAN, 1.0, rng()))
    assert set(np.diff(kept)) == {4}
    share = len(cross_sensor.slowed(stream(n=4000), SPAN, 0.5, rng()).messages) / 4000
    assert share == pytest.approx(1 / 2.5, abs=0.01)


def test_gap_is_one_hole_in_one_modality() -> None:
    streams = {m: stream(m) for m in MODALITIES}
    hit = set()
    for seed in range(10):
        changed = cross_sensor.gap(streams, SPAN, 0.5, rng(seed))
        short = [m for m in MODALITIES if changed[m] != streams[m]]
        assert len(short) == 1
        hit.update(short)
        missing = sorted(set(range(40)) - set(numbers(changed[short[0]])))
        assert missing == list(range(missing[0], missing[-1] + 1))
        assert len(missing) * PERIOD_MS == pytest.approx(0.5 * 600, abs=PERIOD_MS)
    assert hit == {"camera", "lidar", "radar"}
    whole = cross_sensor.gap(streams, SPAN, 1.0, rng())
    assert any(not any(SPAN.start_ns <= m.event_ns <= SPAN.end_ns for m in s.messages) for s in whole.values())


def test_imbalanced_loses_more_of_one_than_of_another() -> None:
    streams = {m: stream(m, 1000) for m in MODALITIES}
    changed = cross_sensor.imbalanced(streams, SPAN, 0.8, rng())
    lost = sorted(1 - len(changed[m].messages) / 1000 for m in MODALITIES)
    assert lost == pytest.approx(sorted(0.8 * x for x in cross_sensor.IMBALANCE), abs=0.05)
    other = cross_sensor.imbalanced(streams, SPAN, 0.8, rng(1))
    order = [sorted(MODALITIES, key=lambda m, c=c: len(c[m].messages)) for c in (changed, other)]  # type: ignore[misc]
    assert order[0] != order[1]


def test_mounts_are_off_by_what_is_said(synthetic_rig: Rig) -> None:
    for level, degrees, metres in ((1.0, 5.0, 0.2), (0.5, 2.75, 0.105)):
        turned = cross_sensor.rotated(synthetic_rig, level, rng())
        moved = cross_sensor.shifted(synthetic_rig, level, rng())
        for name in ("camera", "lidar", "radar"):
            was = synthetic_rig.sensors[name].T_base_sensor.transform()
            off = was.inverse() @ turned.sensors[name].T_base_sensor.transform()
            assert np.degrees(Rotation.from_matrix(off.rotation).magnitude()) == pytest.approx(degrees, abs=1e-6)
            assert np.abs(off.translation).max() < 1e-9
            off = was.inverse() @ moved.sensors[name].T_base_sensor.transform()
            assert np.linalg.norm(off.translation) == pytest.approx(metres, abs=1e-9)
            assert np.allclose(off.rotation, np.eye(3))
