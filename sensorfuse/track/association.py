"""Who saw what: probabilities of association between tracks and the detections of one source.

Joint integrated probabilistic data association (Musicki and Evans 2004): a joint event assigns each detection to at
most one track and each track at most one detection; its probability is the product of the pair weights. Marginals are
exact, by dynamic programming over sets of detections (the recursion of Horridge and Maskell 2006 on bit masks), per
group of tracks that share detections. A group with too many detections is assigned one to one instead (Hungarian
method).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.float64]

MAX_JOINT = 10  # detections in a group solved exactly


@njit(cache=True)
def joint_marginals(weights: Array, miss: Array) -> Array:
    """Exact marginals (T, N + 1) of one group; the last column is "no detection".

    `weights` (T, N) of the pairs (0 where impossible), `miss` (T,) of a track having none. N is at most about 12.
    """
    tracks, n = weights.shape
    states = 1 << n
    forward = np.zeros((tracks + 1, states))
    backward = np.zeros((tracks + 1, states))
    forward[0, 0] = 1.0
    for t in range(tracks):
        scale = 0.0
        for mask in range(states):
            value = forward[t, mask]
            if value == 0.0:
                continue
            forward[t + 1, mask] += value * miss[t]
            for j in range(n):
                if weights[t, j] > 0.0 and not mask & (1 << j):
                    forward[t + 1, mask | (1 << j)] += value * weights[t, j]
        for mask in range(states):
            scale = max(scale, forward[t + 1, mask])
        if scale > 0.0:
            forward[t + 1] /= scale
    backward[tracks, :] = 1.0
    for t in range(tracks - 1, -1, -1):
        scale = 0.0
        for mask in range(states):
            value = miss[t] * backward[t + 1, mask]
            for j in range(n):
                if weights[t, j] > 0.0 and not mask & (1 << j):
                    value += weights[t, j] * backward[t + 1, mask | (1 << j)]
            backward[t, mask] = value
            scale = max(scale, value)
        if scale > 0.0:
            backward[t] /= scale
    out = np.zeros((tracks, n + 1))
    for t in range(tracks):
        for mask in range(states):
            value = forward[t, mask]
            if value == 0.0:
                continue
            out[t, n] += value * miss[t] * backward[t + 1, mask]
            for j in range(n):
                if weights[t, j] > 0.0 and not mask & (1 << j):
                    out[t, j] += value * weights[t, j] * backward[t + 1, mask | (1 << j)]
        total = out[t].sum()
        if total > 0.0:
            out[t] /= total
        else:
            out[t, n] = 1.0
    return out


def hungarian_marginals(weights: Array, miss: Array) -> Array:
    """The single likeliest joint event as marginals (T, N + 1) of 0 and 1."""
    tracks, n = weights.shape
    out = np.zeros((tracks, n + 1))
    tiny = 1e-300
    gain = np.concatenate([np.log(np.maximum(weights, tiny)), np.full((tracks, tracks), np.log(tiny))], axis=1)
    gain[np.arange(tracks), n + np.arange(tracks)] = np.log(np.maximum(miss, tiny))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    sound = (columns < n) & (weights[rows, np.minimum(columns, n - 1)] > 0)
    out[rows, np.where(sound, columns, n)] = 1.0
    return out


def associate(weights: Array, miss: Array, max_joint: int = MAX_JOINT) -> Array:
    """Marginal probabilities (T, N + 1): track t gave rise to detection j, or (last column) to none.

    `weights` (T, N): likelihood ratio of the pair against clutter, 0 outside the gate. `miss` (T,): of no detection.
    """
    tracks, n = weights.shape
    out = np.zeros((tracks, n + 1))
    out[:, n] = 1.0
    linked = weights > 0
    contested = np.asarray(linked[:, linked.sum(axis=0) > 1].any(axis=1), dtype=bool)
    alone = np.flatnonzero(~contested & linked.any(axis=1))  # tracks that share no detection: their events are few
    total = miss[alone] + weights[alone].sum(axis=1)
    out[alone, :n] = weights[alone] / total[:, None]
    out[alone, n] = miss[alone] / total
    t, j = np.nonzero(linked & contested[:, None])
    if not len(t):
        return out
    graph = csr_matrix((np.ones(len(t)), (t, tracks + j)), shape=(tracks + n, tracks + n))
    labels = connected_components(graph, directed=False)[1]
    for label in np.unique(labels[t]):
        rows = np.flatnonzero(labels[:tracks] == label)
        columns = np.flatnonzero(labels[tracks:] == label)
        part = np.ascontiguousarray(weights[rows][:, columns])
        solve = joint_marginals if len(columns) <= max_joint else hungarian_marginals
        marginals = solve(part, miss[rows])
        out[rows[:, None], columns] = marginals[:, :-1]
        out[rows, n] = marginals[:, -1]
    return out
