"""Canonical correlation against its eigenvalue equation, planted correlations, and data that cannot tell."""

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.training.canonical import find_canonical_axes

PLANTED = np.array([0.9, 0.6, 0.3, 0.0, 0.0])


def planted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sensors (count, 5), linear mixtures of five pairs of numbers with these correlations."""
    mix_a, mix_b = np.random.default_rng(3).standard_normal((2, 5, 5))
    rng = np.random.default_rng(seed)
    u, noise = rng.standard_normal((2, count, 5))
    v = PLANTED * u + np.sqrt(1 - PLANTED**2) * noise
    return u @ mix_a + 4.0, 100 * (v @ mix_b) - 7.0


def test_finds_planted_correlations() -> None:
    axes = find_canonical_axes(*planted(20000, 0))
    np.testing.assert_allclose(axes.correlations, PLANTED, atol=0.04)
    np.testing.assert_allclose(axes.agreement(*planted(20000, 1)), PLANTED, atol=0.04)
    a, b = planted(20000, 2)
    assert np.abs(axes.agreement(a, np.roll(b, 1, axis=0))).max() < 0.04  # no longer the same moment


@pytest.mark.parametrize("regularisation", [0.0, 0.3])
def test_solves_the_eigenvalue_equation(regularisation: float) -> None:
    """Squared correlations are the eigenvalues of S_a^-1 S_ab S_b^-1 S_ba."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 4)), rng.standard_normal((300, 6))
    b[:, :2] += a[:, :2]
    s = np.cov(np.hstack([a, b]).T) + regularisation * np.eye(10)
    s_a, s_ab, s_b = s[:4, :4], s[:4, 4:], s[4:, 4:]
    eigenvalues = np.linalg.eigvals(np.linalg.solve(s_a, s_ab) @ np.linalg.solve(s_b, s_ab.T)).real
    axes = find_canonical_axes(a, b, regularisation=regularisation)
    np.testing.assert_allclose(axes.correlations**2, np.sort(eigenvalues)[::-1], atol=1e-9)
    np.testing.assert_allclose(axes.axes_a.T @ s_a @ axes.axes_a, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(axes.axes_b.T @ s_b @ axes.axes_b, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(axes.axes_a.T @ s_ab @ axes.axes_b, np.diag(axes.correlations), atol=1e-9)


def test_units_and_what_does_not_vary_do_not_matter() -> None:
    a, b = planted(500, 0)
    axes = find_canonical_axes(a, b, count=3)
    assert axes.axes_a.shape == (5, 3)
    scaled = a * [1e-3, 1, 1e3, 1, 1]
    redundant = np.column_stack([scaled, scaled[:, 0], np.full(500, 9.8)])
    again = find_canonical_axes(redundant, b, count=3)
    np.testing.assert_allclose(again.correlations, axes.correlations, atol=1e-9)
    np.testing.assert_allclose(np.abs(again.project_a(redundant)), np.abs(axes.project_a(a)), atol=1e-6)
    flat = find_canonical_axes(np.zeros((500, 2)), b)
    assert flat.correlations.shape == (0,)
    assert axes.agreement(np.zeros((9, 5)), b[:9]).tolist() == [0, 0, 0]


def test_refuses_what_would_correlate_whatever_it_is() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SensorfuseError, match="perfectly whatever"):
        find_canonical_axes(rng.standard_normal((9, 5)), rng.standard_normal((9, 5)))
    assert find_canonical_axes(rng.standard_normal((9, 5)), rng.standard_normal((9, 5)), regularisation=1.0)
    with pytest.raises(SensorfuseError, match="paired rows"):
        find_canonical_axes(np.zeros((9, 2)), np.zeros((8, 2)))
    with pytest.raises(SensorfuseError, match="not finite"):
        find_canonical_axes(np.full((9, 2), np.nan), np.zeros((9, 2)))
