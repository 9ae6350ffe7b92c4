"""Overlap of rotated boxes against OpenCV and hand-computed cases; containment."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sensorfuse.track.box_corners import box_corners, inside_boxes, overlap_matrix


def one(x: float, y: float, length: float, width: float, yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([[x, y]]), np.array([[length, width]]), np.array([yaw])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 4, 2, 0), (0, 0, 4, 2, np.pi), 1.0),
        ((0, 0, 4, 2, 0), (2, 0, 4, 2, 0), 4 / 12),
        ((0, 0, 2, 2, 0), (0, 0, 2, 2, np.pi / 4), 8 * (np.sqrt(2) - 1) / (8 - 8 * (np.sqrt(2) - 1))),
        ((0, 0, 4, 2, 0), (0, 0, 2, 1, 0.5), 2 / 8),
        ((0, 0, 4, 2, 0), (4, 0, 4, 2, 0), 0.0),
        ((0, 0, 4, 2, 0), (50, 0, 4, 2, 0), 0.0),
    ],
)
def test_overlap_of_known_pairs(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert overlap_matrix(*one(*a), *one(*b))[0, 0] == pytest.approx(expected, abs=1e-9)
    assert overlap_matrix(*one(*b), *one(*a))[0, 0] == pytest.approx(expected, abs=1e-9)


def test_overlap_agrees_with_opencv() -> None:
    rng = np.random.default_rng(0)
    n = 40
    center, size, yaw = rng.uniform(-3, 3, (n, 2)), rng.uniform(0.5, 6, (n, 2)), rng.uniform(-np.pi, np.pi, n)
    ours = overlap_matrix(center, size, yaw, center, size, yaw)
    for i in range(n):
        for j in range(i + 1, n):
            first, second = ((tuple(center[k]), tuple(size[k]), np.degrees(yaw[k])) for k in (i, j))
            kind, polygon = cv2.rotatedRectangleIntersection(first, second)
            area = cv2.contourArea(cv2.convexHull(polygon)) if kind else 0.0
            expected = area / (size[i].prod() + size[j].prod() - area)
            assert ours[i, j] == pytest.approx(expected, abs=2e-4)


def test_corners_and_containment() -> None:
    corners = box_corners(np.array([[10.0, 5.0]]), np.array([[4.0, 2.0]]), np.array([np.pi / 2]))[0]
    np.testing.assert_allclose(corners, [[9, 7], [9, 3], [11, 3], [11, 7]], atol=1e-12)
    points = np.array([[10.0, 6.9], [11.2, 5.0], [10.0, 7.2]])
    inside = inside_boxes(points, np.array([[10.0, 5.0]]), np.array([[4.0, 2.0]]), np.array([np.pi / 2]))[:, 0]
    assert inside.tolist() == [True, False, False]
    wider = inside_boxes(points, np.array([[10.0, 5.0]]), np.array([[4.0, 2.0]]), np.array([np.pi / 2]), 0.3)[:, 0]
    assert wider.all()
