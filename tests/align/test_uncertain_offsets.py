"""Offsets that the rig knows to a sigma only are found from motion while ticks go on, and the bound says how well."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.aligner import Aligner
from sensorfuse.align.uncertain_offsets import UncertainOffsets
from sensorfuse.bench.bounds import errors_and_bounds, uncertain_rig
from sensorfuse.rig import Rig, shipped_rig


def test_a_lively_motion_shows_the_offsets_and_the_bound_holds() -> None:
    found = errors_and_bounds("handheld", 1, 32.0)
    for stream in ("camera", "lidar"):
        error, bound = found[stream]
        assert np.median(error) < 1e6, stream  # the rig was wrong by some 8 ms
        assert np.median(bound) < 3e6, stream
        assert (error <= bound).mean() > 0.9, stream
    error, bound = found["radar"]  # nothing shows it: what the rig said stays
    assert np.median(bound) > 8e6
    assert (error <= bound).all()


def test_offsets_known_for_sure_are_left_alone(synthetic_rig: Rig) -> None:
    offsets = UncertainOffsets(synthetic_rig, {})
    assert offsets.offsets() == {}
    offsets.went_out(0)
    assert not offsets.due


def test_without_an_imu_nothing_is_estimated() -> None:
    rig, _ = uncertain_rig(0)
    blind = rig.model_copy(update={"sensors": {n: s for n, s in rig.sensors.items() if s.modality != "imu"}})
    assert UncertainOffsets(blind, {}).offsets() == {}
    assert set(Aligner(rig, 0).offsets.offsets()) == {"camera", "lidar", "radar", "microphones"}


def test_the_bound_in_metres_is_that_of_the_motion() -> None:
    rig = shipped_rig("synthetic")
    aligner = Aligner(rig, 0)
    (tick,) = aligner.flush(0, 0)
    assert {s.bound_ns for s in tick.streams} == {0}
    assert {s.bound_m for s in tick.streams} == {0.0}


def test_a_look_that_fails_is_not_repeated_on_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, _ = uncertain_rig(0)
    offsets = Aligner(rig, 0).offsets
    forgotten: list[str] = []
    monkeypatch.setattr(offsets._sync, "estimate", lambda *_: 1 / 0)
    monkeypatch.setattr(offsets._sync, "reset", forgotten.append)
    for k in range(4):
        offsets.went_out(k)
        with pytest.raises(ZeroDivisionError):
            offsets.work()
        assert not offsets.due
    assert sorted(forgotten) == ["camera", "lidar", "microphones", "radar"]
