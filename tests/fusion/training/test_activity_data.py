from pathlib import Path

import numpy as np
import pytest
from activity_folder import draw_windows, swing, write_folder
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.training.activity_data import (
    HEAD,
    HIP,
    LEVEL_VECTORS,
    SENSOR_VECTORS,
    inertial_vectors,
    make_windows,
    placed_skeleton,
    read_at,
    read_recordings,
)

NAMES = SENSOR_VECTORS + LEVEL_VECTORS
G = 9.81


def test_recordings_come_in_order_and_in_si_units(tmp_path: Path) -> None:
    write_folder(tmp_path, (10, 2), (1, 3), repetitions=2)
    found = read_recordings(tmp_path)
    assert [(r.action, r.subject, r.repetition) for r in found] == [
        (a, s, t) for a in (1, 9) for s in (1, 3) for t in (1, 2)
    ]
    inertial, skeleton = swing(2, 1, 1)
    assert np.allclose(found[0].inertial[:, :3], inertial[:, :3] * G)
    assert np.allclose(found[0].inertial[:, 3:], np.radians(inertial[:, 3:]))
    assert np.allclose(found[0].skeleton[5, 7], skeleton[7, :, 5])


def test_a_folder_without_recordings_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="no recordings; expected Inertial"):
        read_recordings(tmp_path)
    with pytest.raises(SensorfuseError, match="no recordings"):
        read_recordings(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"other": np.zeros((50, 6))}, "no field 'd_iner'; it holds other"),
        ({"d_iner": np.zeros((50, 5))}, r"d_iner has shape \(50, 5\), expected \(T, 6\)"),
        ({"d_iner": np.zeros((3, 6))}, "3 samples, fewer than 8"),
        ({"d_iner": np.full((50, 6), np.nan)}, "finite numbers only"),
        ({"d_iner": np.array([["a"] * 6] * 50)}, "d_iner"),
        (b"MATLAB 5.0 MAT-file, and then nothing", "not a readable MATLAB file"),
        (b"", "not a readable MATLAB file"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, content: object, text: str) -> None:
    file = write_folder(tmp_path, (1,), (1,)) / "Inertial" / "a1_s1_t1_inertial.mat"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        savemat(file, content)
    with pytest.raises(SensorfuseError, match=text) as error:
        read_recordings(tmp_path)
    assert "a1_s1_t1_inertial.mat" in str(error.value)


def test_bad_names_and_missing_partners_are_refused(tmp_path: Path) -> None:
    skeleton = write_folder(tmp_path, (1,), (1,)) / "Skeleton" / "a1_s1_t1_skeleton.mat"
    skeleton.rename(tmp_path / "away.mat")
    with pytest.raises(SensorfuseError, match=r"its skeleton .* is missing"):
        read_recordings(tmp_path)
    (tmp_path / "away.mat").rename(skeleton)
    extra = tmp_path / "Inertial" / "walk.mat"
    extra.touch()
    with pytest.raises(SensorfuseError, match="the name must be a<action>"):
        read_recordings(tmp_path)
    extra.unlink()
    (tmp_path / "Inertial" / "a28_s1_t1_inertial.mat").touch()
    with pytest.raises(SensorfuseError, match="action 28 is not one of 1 to 27"):
        read_recordings(tmp_path)


def test_a_transposed_skeleton_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, (1,), (1,))
    savemat(tmp_path / "Skeleton" / "a1_s1_t1_skeleton.mat", {"d_skel": np.zeros((50, 20, 3))})
    with pytest.raises(SensorfuseError, match=r"skeleton.mat: d_skel has shape \(50, 20, 3\), expected \(20, 3, T\)"):
        read_recordings(tmp_path)


@given(st.integers(2, 40), st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 9))
def test_reading_in_between_is_linear_interpolation(length: int, u: list[float], seed: int) -> None:
    series = np.random.default_rng(seed).normal(size=(2, length, 3))
    read = read_at(series, np.array([u, u[::-1]]))
    for b, times in enumerate((u, u[::-1])):
        for c in range(3):
            expected = np.interp(np.array(times) * (length - 1), np.arange(length), series[b, :, c])
            assert np.allclose(read[b, :, c], expected)


def moved(mount: Rotation, noise: float = 0.0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Readings of an IMU mounted so on a limb that turns and goes along a closed path, and the truth in a frame that
    stands still (x down): a frame that differs from the level one by a turn about x at most.
    """
    rate_hz, count = 50.0, 400
    t = np.arange(count) / rate_hz
    s = np.sin(np.pi * t / t[-1]) ** 4  # starts and ends at rest
    path = np.column_stack([0.3 * s * np.sin(3 * t), 0.4 * s * np.cos(2 * t), 0.2 * s * np.sin(5 * t)])
    velocity = np.gradient(path, 1 / rate_hz, axis=0)
    acceleration = np.gradient(velocity, 1 / rate_hz, axis=0)
    limb = Rotation.from_rotvec(np.column_stack([1.2 * s, 0.8 * s * np.sin(t), 1.5 * s]))
    attitude = limb * mount  # of the sensor in the still frame
    turn = (attitude[:-1].inv() * attitude[1:]).as_rotvec() * rate_hz
    rate = np.concatenate([turn[:1], 0.5 * (turn[1:] + turn[:-1]), turn[-1:]])
    up = np.array([-1.0, 0.0, 0.0])
    force = attitude.inv().apply(acceleration + G * up)
    still = {"acceleration": acceleration / G, "level_rate": attitude.apply(rate)}
    return np.hstack([force, rate]), {**still, "upward": attitude.inv().apply(np.tile(up, (count, 1)))}


@pytest.mark.parametrize("turned", [(0, 0, 0), (0.4, 0.3, -0.5), (2.0, -1.0, 0.3)])
def test_level_vectors_are_the_true_motion_however_the_sensor_is_worn(turned: tuple[float, float, float]) -> None:
    readings, truth = moved(Rotation.from_rotvec(turned))
    vectors = dict(zip(NAMES, inertial_vectors(readings).transpose(1, 0, 2), strict=True))
    assert np.abs(vectors["upward"] - truth["upward"]).max() < 0.02
    for name, most in (("acceleration", 0.03), ("level_rate", 0.1)):
        given_, true = vectors[name], truth[name]
        assert np.abs(given_[:, 0] - true[:, 0]).max() < most  # along the vertical
        flat = [x[:, 1] + 1j * x[:, 2] for x in (given_, true)]
        heading = np.vdot(flat[1], flat[0])
        assert np.abs(flat[0] - flat[1] * heading / abs(heading)).max() < most


def test_readings_at_rest_say_only_where_up_is() -> None:
    up = np.array([0.6, 0.0, 0.8])
    readings = np.zeros((60, 6))
    readings[:, :3] = G * up
    vectors = inertial_vectors(readings)
    assert np.allclose(vectors[:, NAMES.index("upward")], up)
    assert np.allclose(vectors[:, [NAMES.index(n) for n in LEVEL_VECTORS]], 0.0)


def test_upside_down_and_in_free_fall_nothing_breaks() -> None:
    readings = np.zeros((60, 6))
    assert np.isfinite(inertial_vectors(readings)).all()
    readings[:, 0] = G
    assert np.isfinite(inertial_vectors(readings)).all()


def test_a_skeleton_is_the_same_wherever_it_stands_and_however_large_it_is() -> None:
    skeleton = swing(1, 2, 0)[1].transpose(2, 0, 1)
    placed = placed_skeleton(skeleton)
    assert np.allclose(placed, placed_skeleton(1.3 * skeleton + np.array([0.5, -0.2, 1.0])))
    assert np.allclose(placed[:, HIP].mean(axis=0), 0.0)
    assert np.linalg.norm(placed[:, HEAD] - placed[:, HIP], axis=-1).mean() == pytest.approx(1.0)


def test_windows_of_subjects() -> None:
    windows = draw_windows((0, 1, 2), (1, 2, 5))
    assert windows.inertial.shape == (9, 256, 5, 3)
    assert windows.skeleton.shape == (9, 96, 20, 3)
    part = windows.of_subjects([5, 1])
    assert list(part.subject) == [1, 5] * 3
    assert np.array_equal(part.inertial, windows.inertial[windows.subject != 2])
    with pytest.raises(SensorfuseError, match="no recordings of subject 7; there are subjects 1, 2, 5"):
        windows.of_subjects([1, 7])


def test_the_real_recordings(data_dir: Path) -> None:
    folder = data_dir / "utd_mhad"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found = read_recordings(folder)
    assert len(found) == 861
    assert {r.action for r in found} == set(range(27))
    assert {r.subject for r in found} == set(range(1, 9))
    part = make_windows(found[::40])
    assert np.isfinite(part.inertial).all()
    assert np.abs(part.skeleton).max() < 10
    force = np.linalg.norm(part.inertial[:, 0, 0], axis=-1)  # people begin at rest, more or less
    assert np.median(force) == pytest.approx(1.0, abs=0.1)
