"""Bearings against OpenCV's own models: projected again, they fall on their pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sensorfuse.align.signatures.bearings import Lens
from sensorfuse.sensor_config import Intrinsics

CASES = [("none", ()), ("radtan", (-0.28, 0.07, 2e-4, -1e-4)), ("radtan", (0.1, -0.05, 1e-3, 1e-3, 0.01)),
         ("equidistant", (-0.02, 0.01, -0.005, 0.001))]  # fmt: skip


@pytest.mark.parametrize(("model", "coefficients"), CASES)
def test_projected_bearings_are_their_pixels(model: str, coefficients: tuple[float, ...]) -> None:
    lens = Lens(
        Intrinsics(
            width=640, height=400, fx=400, fy=390, cx=321, cy=199, distortion_model=model, distortion=coefficients
        )
    )
    pixels = np.random.default_rng(0).uniform([0, 0], [639, 399], (200, 2))
    rays = lens.bearings(pixels)
    assert np.allclose(np.linalg.norm(rays, axis=1), 1.0)
    matrix = np.array([[400.0, 0, 321], [0, 390, 199], [0, 0, 1]])
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    k = np.array(coefficients or (0.0, 0.0, 0.0, 0.0))
    again = project(rays[:, None], np.zeros(3), np.zeros(3), matrix, k)[0][:, 0]
    assert np.abs(again - pixels).max() < 0.01


def test_no_bearing_where_the_model_folds_over() -> None:
    lens = Lens(Intrinsics(width=640, height=400, fx=200, fy=200, cx=320, cy=200, distortion_model="radtan",
                           distortion=(-0.5, 0.0, 0.0, 0.0)))  # fmt: skip
    rays = lens.bearings(np.array([[320.0, 200.0], [0.0, 0.0]]))
    assert np.isfinite(rays[0]).all()
    assert np.isnan(rays[1]).all()


def test_a_pixel_spans_what_a_neighbour_is_away() -> None:
    lens = Lens(Intrinsics(width=640, height=400, fx=400, fy=400, cx=320, cy=200))
    at = np.array([[320.0, 200.0], [600.0, 380.0]])
    rays = lens.bearings(at)
    steps = [np.linalg.norm(lens.bearings(at + d) - rays, axis=1) for d in ([1.0, 0.0], [0.0, 1.0])]
    assert np.allclose(lens.angle_per_pixel(rays), np.sqrt(steps[0] * steps[1]), rtol=0.15)
