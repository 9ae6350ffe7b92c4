from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sensorfuse.fusion.evaluation.corruptions import lidar
from sensorfuse.messages import Sample

RINGS, COLUMNS = 32, 256


def sweep(range_m: float = 20.0, ring: bool = True) -> Sample:
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(-25, 15, RINGS)), np.linspace(-3.1, 3.1, COLUMNS), indexing="ij"
    )
    away = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    arrays = {
        "points": (range_m * away).reshape(-1, 3).astype(np.float32),
        "intensity": np.full(RINGS * COLUMNS, 100, np.float32),
    }
    if ring:
        arrays["ring"] = np.repeat(np.arange(RINGS, dtype=np.uint16), COLUMNS)
    return Sample("lidar", "lidar", 0, 0, 0, "lidar", arrays)


def ranges(sample: Sample) -> np.ndarray:  # type: ignore[type-arg]
    return np.linalg.norm(sample.arrays["points"].astype(np.float64), axis=1)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def rows_of(sample: Sample) -> set[bytes]:
    return {row.tobytes() for row in sample.arrays["points"]}


@pytest.mark.parametrize("ring", [True, False])
def test_beams_go_evenly_down_to_an_eighth(ring: bool) -> None:
    kept = [lidar.beams(sweep(ring=ring), x, rng()) for x in (0.0, 4 / 7, 6 / 7, 1.0)]
    assert [round(len(s.arrays["points"]) / COLUMNS) for s in kept] == pytest.approx(
        [32, 16, 8, 4], abs=0 if ring else 1
    )
    if ring:
        assert np.diff(np.unique(kept[1].arrays["ring"])).tolist() == [2] * 15
        assert np.diff(np.unique(kept[3].arrays["ring"])).tolist() == [8] * 3


@pytest.mark.parametrize("change", [lidar.beams, lidar.point_dropout])
def test_what_a_level_loses_a_higher_one_loses_too(change) -> None:  # type: ignore[no-untyped-def]
    sets = [rows_of(change(sweep(), x, rng())) for x in (0.0, 0.3, 0.6, 1.0)]
    assert all(b < a for a, b in pairwise(sets))


def test_point_dropout_share() -> None:
    assert len(lidar.point_dropout(sweep(), 1.0, rng()).arrays["points"]) == pytest.approx(0.05 * 8192, rel=0.2)


def test_fog_takes_what_the_law_says_and_puts_some_of_it_nearer() -> None:
    near, far = (lidar.fog(sweep(r), 0.5, rng()) for r in (10.0, 40.0))
    for sample, range_m in ((near, 10.0), (far, 40.0)):
        stayed = np.isclose(ranges(sample), range_m, atol=1e-3)
        through = np.exp(-2 * 0.5 * lidar.FOG_PER_M * range_m)
        assert stayed.sum() / 8192 == pytest.approx(through, abs=0.02)
        assert (~stayed).sum() / 8192 == pytest.approx((1 - through) * lidar.FOG_ECHO, abs=0.02)
        assert (ranges(sample)[~stayed] < range_m).all()
        assert (sample.arrays["intensity"][~stayed] == lidar.SCATTER_INTENSITY).all()
    stays = [np.isclose(ranges(lidar.fog(sweep(), x, rng())), 20.0, atol=1e-3).sum() for x in (0.2, 0.5, 0.8, 1.0)]
    assert stays == sorted(stays, reverse=True)


def test_snow_hides_what_lies_behind_flakes_near_by() -> None:
    sample = lidar.snow(sweep(60.0), 1.0, rng())
    flakes = ~np.isclose(ranges(sample), 60.0, atol=1e-3)
    assert flakes.mean() == pytest.approx(1 - np.exp(-lidar.SNOW_PER_M * lidar.SNOW_REACH_M), abs=0.02)
    assert ranges(sample)[flakes].max() <= lidar.SNOW_REACH_M
    turned = sample.arrays["points"] / ranges(sample)[:, None] - sweep().arrays["points"] / 20
    assert np.abs(turned).max() < 1e-5  # along the same rays


def test_range_noise_is_along_the_ray() -> None:
    sample = lidar.range_noise(sweep(), 1.0, rng())
    assert (ranges(sample) - 20).std() == pytest.approx(lidar.RANGE_SIGMA_M, rel=0.05)
    assert np.abs(sample.arrays["points"] / ranges(sample)[:, None] - sweep().arrays["points"] / 20).max() < 1e-5


def test_intensity_fades_and_no_returns_stay_no_returns() -> None:
    assert lidar.intensity_loss(sweep(), 1.0, rng()).arrays["intensity"][0] == pytest.approx(2.0)
    bare = sweep()
    del bare.arrays["intensity"]
    assert lidar.intensity_loss(bare, 1.0, rng()) is bare
    bare.arrays["points"][0] = np.nan
    for change in (lidar.snow, lidar.range_noise, lidar.beams):
        changed = change(bare, 0.4, rng()).arrays["points"]
        assert np.isnan(changed).any(axis=1).sum() <= 1
    fogged = lidar.fog(bare, 0.4, rng()).arrays["points"]
    assert np.isfinite(fogged).all(axis=1).sum() >= len(fogged) - 1
