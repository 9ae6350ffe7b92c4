from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.fusion.evaluation.corruptions import radar
from sensorfuse.messages import Sample


def listed(n: int = 40) -> Sample:
    draw = np.random.default_rng(9)
    rows = np.column_stack(
        [draw.uniform(2, 80, n), draw.uniform(-1, 1, n), np.zeros(n), draw.normal(0, 5, n), draw.uniform(-5, 20, n)]
    )
    return Sample("radar", "radar", 0, 0, 0, "radar", {"detections": rows.astype(np.float32)})


def scanned() -> Sample:
    return Sample("radar", "radar", 0, 0, 0, "radar", {"polar": np.full((100, 200), 20, np.uint8)})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_ghosts_come_on_top_and_a_higher_level_keeps_those_of_a_lower() -> None:
    real = listed().arrays["detections"]
    some, all_ = (radar.ghosts(listed(), x, rng()).arrays["detections"] for x in (0.5, 1.0))
    assert len(some) == 70
    assert len(all_) == 100
    assert np.array_equal(all_[:70], some)
    assert np.array_equal(some[:40], real)
    ghosts = all_[40:]
    assert (ghosts[:, 0] <= real[:, 0].max()).all()
    double = [
        np.any(np.isclose(g[0], 2 * real[:, 0]) & np.isclose(g[1], real[:, 1]) & np.isclose(g[3], 2 * real[:, 3]))
        for g in ghosts
    ]
    assert 8 <= sum(double) <= 30


def test_ghosts_of_nothing() -> None:
    assert len(radar.ghosts(listed(0), 1.0, rng()).arrays["detections"]) == radar.MOST_GHOSTS


def test_losses_are_nested() -> None:
    kept = [radar.drop(listed(400), x, rng()).arrays["detections"] for x in (0.3, 0.7, 1.0)]
    sets = [{row.tobytes() for row in k} for k in kept]
    assert sets[2] < sets[1] < sets[0]
    assert len(kept[2]) == pytest.approx(20, abs=12)


def test_velocity_bias_moves_only_range_rates_and_all_alike() -> None:
    off = radar.velocity_bias(listed(), 0.5, rng()).arrays["detections"] - listed().arrays["detections"]
    assert np.abs(off[:, 3]) == pytest.approx(np.full(40, 1.5), abs=1e-5)
    assert np.ptp(off[:, 3]) < 1e-5
    assert not off[:, [0, 1, 2, 4]].any()
    signs = {
        np.sign(
            radar.velocity_bias(listed(), 1.0, np.random.default_rng(k)).arrays["detections"][0, 3]
            - listed().arrays["detections"][0, 3]
        )
        for k in range(8)
    }
    assert signs == {-1.0, 1.0}


def test_power_images() -> None:
    ghostly = [(radar.ghosts(scanned(), x, rng()).arrays["polar"] > 20).mean() for x in (0.3, 0.6, 1.0)]
    assert 0 < ghostly[0] < ghostly[1] < ghostly[2] < 0.5
    assert (radar.drop(scanned(), 1.0, rng()).arrays["polar"] == 0).mean() == pytest.approx(0.95, abs=0.01)
    assert radar.velocity_bias(scanned(), 1.0, rng()).arrays["polar"].max() == 20
