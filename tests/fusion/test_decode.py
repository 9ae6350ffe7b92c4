import numpy as np
import pytest

from sensorfuse.fusion.decode import (
    BOX_CHANNELS,
    GROUPS,
    MIN_SEPARATION_M,
    VEHICLES,
    DecodeConfig,
    best_of_neighbours,
    decode_boxes,
    decode_sounds,
    encode_boxes,
    on_grid,
)
from sensorfuse.fusion.grid import GRID
from sensorfuse.messages import CLASSES, SOUND_CLASSES, Detections


def some_objects(count: int, seed: int = 0) -> Detections:
    """Objects of all known classes, far enough from each other, on the grid."""
    rng = np.random.default_rng(seed)
    spots = rng.permutation(np.stack(np.meshgrid(np.arange(-36, 37, 6.0), np.arange(-36, 37, 6.0)), -1).reshape(-1, 2))
    return Detections(
        class_id=rng.integers(0, 7, count).astype(np.uint8),
        score=np.ones(count, np.float32),
        center=np.column_stack([spots[:count] + rng.uniform(-1, 1, (count, 2)), rng.uniform(0, 2, count)]),
        size=rng.uniform([0.5, 0.4, 1.0], [10, 3, 3.5], (count, 3)),
        yaw=rng.uniform(-np.pi, np.pi, count),
        velocity=rng.normal(0, 8, (count, 2)),
        covariance=np.zeros((count, 4, 4)),
        track_id=np.arange(count),
    )


def as_outputs(objects: Detections) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of a network that knows the truth."""
    heat = np.full((len(GROUPS), GRID.cells, GRID.cells), -8.0)
    box = np.zeros((BOX_CHANNELS, GRID.cells, GRID.cells))
    cells, values, kind = encode_boxes(objects)
    for n, (group, i, j) in enumerate(cells):
        heat[group, i, j] = 3.0 + 0.01 * n
        box[:10, i, j] = values[n]
        if kind[n] >= 0:
            box[10 + kind[n], i, j] = 5.0
        box[15:17, i, j] = np.log([0.4, 1.5])
    return heat, box


def test_decoding_inverts_the_targets() -> None:
    truth = some_objects(30)
    found = decode_boxes(*as_outputs(truth))
    found = found.select(np.argsort(found.score))  # scores grow with the row
    assert len(found) == 30
    assert (found.class_id == truth.class_id).all()
    assert np.allclose(found.center, truth.center, atol=1e-5)
    assert np.allclose(found.size, truth.size, rtol=1e-5)
    assert np.allclose(found.velocity, truth.velocity, atol=1e-5)
    assert np.allclose(np.exp(1j * found.yaw), np.exp(1j * truth.yaw), atol=1e-5)
    assert np.allclose(found.covariance, np.diag([0.16, 0.16, 2.25, 2.25]))


def test_best_comes_first_and_the_number_is_bounded() -> None:
    heat, box = as_outputs(some_objects(30))
    found = decode_boxes(heat, box, DecodeConfig(most=5))
    assert len(found) == 5
    assert (np.diff(found.score) <= 0).all()
    assert found.score[0] == pytest.approx(1 / (1 + np.exp(-heat.max())))


def test_neighbouring_peaks_of_one_object_are_one() -> None:
    heat, box = as_outputs(some_objects(1))
    (group, i, j), *_ = encode_boxes(some_objects(1))[0]
    heat[group, i, j] = 3.0
    heat[group, i + 2, j] = 2.0
    box[0, i + 2, j] = box[0, i, j] - 1.5  # a second peak whose box lies nearly on the first
    assert len(decode_boxes(heat, box)) == 1


def test_thresholds_are_per_group() -> None:
    truth = some_objects(30)
    heat, box = as_outputs(truth)
    only = decode_boxes(heat, box, DecodeConfig(thresholds=(0.999, 0.999, 0.5)))
    assert len(only)
    assert {CLASSES[c] for c in only.class_id} == {"pedestrian"}


def test_nothing_found_is_an_empty_answer() -> None:
    found = decode_boxes(np.full((3, 64, 64), -9.0), np.zeros((BOX_CHANNELS, 64, 64)))
    assert len(found) == 0
    assert found.covariance.shape == (0, 4, 4)


def test_unknown_and_distant_objects_are_no_targets() -> None:
    objects = some_objects(3)
    objects.class_id[0] = CLASSES.index("unknown")
    objects.center[1, 0] = 60.0
    assert on_grid(objects).tolist() == [False, False, True]
    assert set(VEHICLES) < set(CLASSES)


def test_sounds_have_a_direction_only_where_the_array_gives_one() -> None:
    sound = np.array([[3.0, 1.0, 1.0], [-3.0, 0.0, 1.0], [0.5, -0.2, 0.0]])
    events = decode_sounds(sound, directional=True)
    assert [e.name for e in events] == [SOUND_CLASSES[0], SOUND_CLASSES[2]]
    assert events[0].azimuth_rad == pytest.approx(np.pi / 4)
    assert events[1].azimuth_rad == pytest.approx(-np.pi / 2)
    assert all(np.isnan(e.azimuth_rad) for e in decode_sounds(sound, directional=False))


def test_best_of_neighbours_is_what_one_by_one_comparison_keeps() -> None:
    rng = np.random.default_rng(0)
    xy, group = rng.uniform(-8, 8, (200, 2)), rng.integers(0, 3, 200)
    kept: list[int] = []
    for n in range(200):
        limit = MIN_SEPARATION_M[group[n]]
        if all(group[k] != group[n] or np.hypot(*(xy[k] - xy[n])) >= limit for k in kept):
            kept.append(n)
    assert best_of_neighbours(xy, group).tolist() == kept
    assert 10 < len(kept) < 190
    assert len(best_of_neighbours(np.zeros((0, 2)), np.zeros(0, np.int64))) == 0
