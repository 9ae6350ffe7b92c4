from dataclasses import replace

import numpy as np
import pytest
from activity_folder import draw_windows

from sensorfuse.fusion.training.activity_augmentation import (
    Augmentation,
    read_augmented,
    read_plain,
    warped_times,
)
from sensorfuse.fusion.training.activity_data import SENSOR_VECTORS, Windows

STEPS = (32, 16)
NOTHING = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0.0))
CUT = len(SENSOR_VECTORS)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return draw_windows((0, 1), (1, 2))


def augmented(windows: Windows, seed: int = 0, **changes: float) -> tuple[np.ndarray, np.ndarray]:
    given = NOTHING.model_copy(update=changes)
    return read_augmented(windows, np.arange(len(windows)), STEPS, given, np.random.default_rng(seed))


def plain(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    return read_plain(windows, np.arange(len(windows)), STEPS)


def test_augmentation_by_nothing_changes_nothing(windows: Windows) -> None:
    for a, b in zip(augmented(windows), plain(windows), strict=True):
        assert a.dtype == b.dtype == np.float32
        assert np.allclose(a, b, atol=1e-5)


def test_every_part_changes_something_and_the_same_seed_the_same(windows: Windows) -> None:
    for name in Augmentation.model_fields:
        first, again = augmented(windows, **{name: 0.2}), augmented(windows, **{name: 0.2})
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)), name
        assert any(not np.allclose(a, b, atol=1e-3) for a, b in zip(first, plain(windows), strict=True)), name


def test_windows_themselves_stay(windows: Windows) -> None:
    before = windows.inertial.copy(), windows.skeleton.copy()
    read_augmented(windows, np.arange(4), STEPS, Augmentation(), np.random.default_rng(0))
    assert np.array_equal(before[0], windows.inertial)
    assert np.array_equal(before[1], windows.skeleton)


def test_times_go_forward_and_at_most_the_crop_is_cut_off() -> None:
    given = Augmentation(pace=0.8, crop=0.1)
    u = warped_times(200, 50, given, np.random.default_rng(0))
    assert (np.diff(u, axis=1) > 0).all()
    assert (u[:, 0] >= 0).all()
    assert (u[:, 0] <= 0.1).all()
    assert (u[:, -1] <= 1).all()
    assert (u[:, -1] >= 0.9).all()
    assert u[:, 0].std() > 0.02
    assert np.abs(u[:, 25] - 0.5).mean() > 0.05  # the pace varies inside a window


def test_both_modalities_go_at_one_pace(windows: Windows) -> None:
    ramp = np.linspace(0, 1, windows.inertial.shape[1])[None, :, None, None]
    other = np.linspace(0, 1, windows.skeleton.shape[1])[None, :, None, None]
    clock = replace(
        windows,
        inertial=np.broadcast_to(ramp, windows.inertial.shape).astype(np.float32),
        skeleton=np.broadcast_to(other, windows.skeleton.shape).astype(np.float32),
    )
    inertial, skeleton = augmented(clock, pace=0.5, crop=0.1)
    at = np.linspace(0, 1, STEPS[1]) * (STEPS[0] - 1)
    for a, b in zip(inertial[..., 0, 0], skeleton[..., 0, 0], strict=True):
        assert np.allclose(np.interp(at, np.arange(STEPS[0]), a), b, atol=1e-4)


def test_wearing_turns_the_sensor_and_not_what_is_level(windows: Windows) -> None:
    inertial, _ = augmented(windows, wear_rad=0.5)
    was, _ = plain(windows)
    assert np.allclose(inertial[:, :, CUT:], was[:, :, CUT:], atol=1e-5)
    assert np.abs(inertial[:, :, :CUT] - was[:, :, :CUT]).max() > 0.1
    assert np.allclose(np.linalg.norm(inertial, axis=-1), np.linalg.norm(was, axis=-1), atol=1e-4)
    angles = np.einsum("ntvi,ntwi->ntvw", inertial[:, :, :CUT], inertial[:, :, :CUT])  # one turn for all vectors
    assert np.allclose(angles, np.einsum("ntvi,ntwi->ntvw", was[:, :, :CUT], was[:, :, :CUT]), atol=1e-3)


def test_heading_turns_about_the_vertical(windows: Windows) -> None:
    inertial, skeleton = augmented(windows, heading_rad=0.8)
    was_inertial, was_skeleton = plain(windows)
    assert np.allclose(inertial[:, :, :CUT], was_inertial[:, :, :CUT], atol=1e-5)
    assert np.allclose(inertial[:, :, CUT:, 0], was_inertial[:, :, CUT:, 0], atol=1e-4)
    assert np.allclose(skeleton[..., 1], was_skeleton[..., 1], atol=1e-4)
    assert np.abs(skeleton[..., 0] - was_skeleton[..., 0]).max() > 0.05


def test_cropped_reading_begins_and_ends_inside(windows: Windows) -> None:
    index = np.arange(len(windows))
    whole = read_plain(windows, index, (101, 101))
    part = read_plain(windows, index, (91, 91), (0.1, 0.0))
    for a, b in zip(part, whole, strict=True):
        assert np.allclose(a, b[:, 10:], atol=1e-4)
