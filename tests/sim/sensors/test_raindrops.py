"""Rain in pictures: drops on the lens are the same ones from picture to picture; streaks are as long as drops fall."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.sensors.raindrops import FALL_MPS, draw_lens_drops, draw_streaks

KEY = np.uint64(77)


def view() -> np.ndarray:
    """A picture with the sky above and the road below."""
    out = np.full((270, 480, 3), 60.0, np.float32)
    out[:135] = 200.0
    return out


def changed(t_s: float, key: np.uint64 = KEY) -> np.ndarray:
    out = view()
    draw_lens_drops(out, key, t_s, 0.7)
    return np.asarray(np.abs(out - view()).max(axis=2) > 20)


def test_drops_of_neighbouring_pictures_are_the_same() -> None:
    now, soon, later = changed(10.0), changed(10.05), changed(60.0)
    assert 0.005 < now.mean() < 0.4
    assert (now & soon).sum() / (now | soon).sum() > 0.8
    assert (now & later).sum() / (now | later).sum() < 0.3


def test_drops_differ_by_lens_and_none_changes_nothing() -> None:
    assert (changed(10.0) != changed(10.0, np.uint64(78))).any()
    out = view()
    draw_lens_drops(out, KEY, 10.0, 0.0)
    np.testing.assert_array_equal(out, view())


def test_a_drop_shows_the_view_upside_down() -> None:
    """Over the road the upper part of a drop shows more of the road's side, its lower part the sky."""
    total = np.zeros(2)
    for t in range(40):
        out = view()
        draw_lens_drops(out, KEY, float(t), 0.3)
        total += [(out[:135] < 120).sum(), (out[135:] > 120).sum()]
    assert (total > 1000).all()


@pytest.mark.parametrize("exposure_s", [0.01, 0.02])
def test_streaks_are_as_long_as_drops_fall_in_one_exposure(exposure_s: float) -> None:
    longest = []
    for k in range(20):
        out = np.zeros((600, 400, 3), np.float32)
        draw_streaks(out, np.uint64(k), 0.1, (260.0, 200.0, 300.0), np.array([0.0, FALL_MPS, 0.0]), exposure_s,
                     np.full(3, 255.0))  # fmt: skip
        longest.append((out.max(axis=(1, 2)) > 0).sum())
    lengths = np.array([n for n in longest if n > 2])
    # one drop each, between 0.6 and 7 m away
    assert lengths.min() >= 0.9 * 260 * FALL_MPS * exposure_s / 7.0
    assert lengths.max() <= 260 * FALL_MPS * exposure_s / 0.6 + 2
