import cv2
import numpy as np
import pytest

from sensorfuse.fusion.grid import GRID
from sensorfuse.fusion.lift import HEIGHTS_M, OUTSIDE, distort, lift_grid
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import Intrinsics

PLAIN = {"width": 480, "height": 270, "fx": 260.0, "fy": 260.0, "cx": 239.5, "cy": 134.5}


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("radtan", (-0.28, 0.07, 2e-4, 1.7e-5)),
        ("radtan", (-0.2, 0.1, 1e-3, -1e-3, 0.01)),
        ("equidistant", (0.1, -0.02, 0.003, 0.0)),
    ],
)
def test_lens_agrees_with_opencv(model: str, coefficients: tuple[float, ...]) -> None:
    intrinsics = Intrinsics(**PLAIN, distortion_model=model, distortion=coefficients)
    plane = np.random.default_rng(0).uniform(-0.7, 0.7, (50, 2))
    points = np.column_stack([plane, np.ones(50)])
    eye, still = np.eye(3), np.zeros(3)
    if model == "radtan":
        expected = cv2.projectPoints(points, still, still, eye, np.array(coefficients))[0][:, 0]
    else:
        expected = cv2.fisheye.projectPoints(points[:, None], still, still, eye, np.array(coefficients))[0][:, 0]
    assert np.allclose(distort(plane, intrinsics), expected, atol=1e-9)


def test_cells_land_on_their_pixels(synthetic_rig: Rig) -> None:
    camera = synthetic_rig.sensor("camera")
    assert camera.intrinsics is not None
    lift = lift_grid(camera.intrinsics, camera.T_base_sensor.transform())
    i, j = np.round(GRID.index([20.0, 5.0])).astype(int)
    x, y = GRID.centres()[i, j]
    across, down = lift[i, j]
    # by hand: the camera looks along x from (1.6, 0, 1.4)
    u = 239.5 - 260 * y / (x - 1.6)
    v = 134.5 + 260 * 1.4 / (x - 1.6)
    assert across == pytest.approx(2 * (u + 0.5) / 480 - 1, abs=1e-5)
    assert down == pytest.approx(2 * (v + 0.5) / 270 - 1, abs=1e-5)


def test_unseen_cells_are_outside(synthetic_rig: Rig) -> None:
    camera = synthetic_rig.sensor("camera")
    assert camera.intrinsics is not None
    lift = lift_grid(camera.intrinsics, camera.T_base_sensor.transform()).reshape(len(HEIGHTS_M), 64, 64, 2)
    assert (lift[:, :32] == OUTSIDE).all()  # behind
    assert (lift[:, 40, 0] == OUTSIDE).all()  # far to the left
    seen = np.abs(lift).max(axis=-1) <= 1
    assert seen[:, 50, 31].all()
    assert ((lift == OUTSIDE).all(axis=-1) | seen).all()


def test_strong_distortion_does_not_fold_back(synthetic_rig: Rig) -> None:
    pose = synthetic_rig.sensor("camera").T_base_sensor.transform()
    plain = lift_grid(Intrinsics(**PLAIN), pose)
    barrel = lift_grid(Intrinsics(**PLAIN, distortion_model="radtan", distortion=(-0.3, 0.0, 0.0, 0.0)), pose)
    both = (plain[..., 0] != OUTSIDE) & (barrel[..., 0] != OUTSIDE)
    assert (np.sign(plain[both]) == np.sign(barrel[both])).mean() > 0.99
