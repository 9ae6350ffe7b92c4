"""The lens: rays invert OpenCV's projection; stray light falls off from its source."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sensorfuse.sensor_config import Intrinsics
from sensorfuse.sim.sensors.lens import add_bloom, add_glare, pixel_rays


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [("none", ()), ("radtan", (-0.2, 0.06, 0.001, -0.002)), ("equidistant", (0.02, -0.01, 0.003, 0.0))],
)
def test_rays_project_back_to_their_pixels(model: str, coefficients: tuple[float, ...]) -> None:
    k = Intrinsics(width=96, height=54, fx=60, fy=61, cx=47, cy=27, distortion_model=model, distortion=coefficients)  # type: ignore[arg-type]
    rays = pixel_rays(k).reshape(-1, 1, 3)
    matrix = np.array([[k.fx, 0, k.cx], [0, k.fy, k.cy], [0, 0, 1]], dtype=float)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    pixels = project(rays, np.zeros(3), np.zeros(3), matrix, np.array(coefficients or (0.0,) * 4))[0].reshape(54, 96, 2)
    v, u = np.mgrid[:54, :96]
    np.testing.assert_allclose(pixels, np.stack([u, v], axis=-1), atol=1e-3)


def test_glare_falls_from_the_sun_and_fades_behind_the_lens() -> None:
    k = Intrinsics(width=96, height=54, fx=60, fy=60, cx=47, cy=27)
    rays = pixel_rays(k)
    x, y = np.ascontiguousarray(rays[..., 0].T), np.ascontiguousarray(rays[..., 1].T)
    glare = np.zeros((54, 96, 3), np.float32)
    add_glare(glare, x, y, np.array([0.0, 0.0, 1.0]), 42.0, 1.0)
    assert glare[27, 47].min() > 255
    assert (np.diff(glare[27, 47:, 0]) < 0).all()
    behind = np.zeros((54, 96, 3), np.float32)
    add_glare(behind, x, y, np.array([0.0, 0.0, -1.0]), 42.0, 1.0)
    assert not behind.any()


def test_bloom_surrounds_what_is_brighter_than_saturation_only() -> None:
    radiance = np.full((90, 160, 3), 50.0, np.float32)
    add_bloom(radiance)
    assert (radiance == 50).all()
    radiance[45, 80] = 3000.0
    add_bloom(radiance)
    assert radiance[45, 83, 0] > radiance[45, 100, 0] >= 50
