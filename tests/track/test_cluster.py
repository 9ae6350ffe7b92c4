"""Clustering against connected components by brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse.csgraph import connected_components

from sensorfuse.track.cluster import cluster_plane, group_by_label


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a[:, None] == a[None]) == (b[:, None] == b[None])).all())


def test_cells_within_reach_join() -> None:
    rng = np.random.default_rng(0)
    cell, reach = 0.25, 0.9
    xy = (rng.integers(-60, 60, (150, 2)) + 0.5) * cell  # on cell centres, where the rule is exact
    away = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    expected = connected_components(away <= reach + 1e-9, directed=False)[1]
    labels = cluster_plane(xy, cell_m=cell, reach_m=reach, spread_rad=0.0, limit_m=20.0)
    assert same_partition(labels, expected)


def test_reach_grows_with_range() -> None:
    near, far = np.array([[5.0, 0.0], [5.0, 1.1]]), np.array([[60.0, 0.0], [60.0, 1.1]])
    labels = cluster_plane(np.vstack([near, far]), reach_m=0.5, spread_rad=0.03)
    assert labels[0] != labels[1]
    assert labels[2] == labels[3]


def test_points_that_are_no_core_join_nothing() -> None:
    bridge = np.column_stack([np.arange(0, 4, 0.25), np.zeros(16)]) + 10.1
    core = np.ones(16, bool)
    core[4:12] = False
    labels = cluster_plane(bridge, core, reach_m=0.6, spread_rad=0.0)
    assert labels[0] != labels[15]
    assert (labels[4:12] == -1).all()
    above = np.vstack([bridge, bridge[:1]])  # the same cell as a core point
    assert cluster_plane(above, np.append(core, False), reach_m=0.6, spread_rad=0.0)[-1] == labels[0]


def test_outside_and_nan_have_no_label() -> None:
    labels = cluster_plane(np.array([[np.nan, 0.0], [500.0, 0.0], [1.0, 1.0]]), limit_m=50.0)
    assert labels.tolist() == [-1, -1, 0]
    assert len(cluster_plane(np.zeros((0, 2)))) == 0


def test_groups_hold_the_members_in_order() -> None:
    labels = np.array([1, -1, 0, 1, 2, 0], np.int32)
    order, starts = group_by_label(labels)
    assert [order[a:b].tolist() for a, b in pairwise(starts)] == [[2, 5], [0, 3], [4]]
