"""Dynamic time warping, a family: exact, banded, multivariate, derivative and windowed costs, distances of many pairs,
search with a bound, subsequences in a stream, online following, the soft form, canonical warping, and the lag domain.

    from sensorfuse.align import dtw

    dtw.distance(x, y, band=20)          # float
    dtw.align(x, y, band=20).path        # (length, 2)
    dtw.lag_path(x, y, max_lag=50).lag   # samples, per sample of x

Series are (n,) or (n samples, d channels); distances are square roots of summed squared differences.
"""

from sensorfuse.align.dtw.batch import distances, pairwise
from sensorfuse.align.dtw.bound import Envelope, Nearest, envelope, lb_keogh, nearest
from sensorfuse.align.dtw.canonical import CanonicalWarp, canonical_warp
from sensorfuse.align.dtw.exact import Alignment, align, distance
from sensorfuse.align.dtw.lag import LagMap, LagPath, lag_path, lag_to_map
from sensorfuse.align.dtw.online import OnlineWarp
from sensorfuse.align.dtw.series import derivative, neighbourhood
from sensorfuse.align.dtw.soft import (
    SoftValue,
    soft_divergence,
    soft_divergence_gradient,
    soft_dtw,
    soft_dtw_gradient,
)
from sensorfuse.align.dtw.spring import Match, Spring

__all__ = [
    "Alignment",
    "CanonicalWarp",
    "Envelope",
    "LagMap",
    "LagPath",
    "Match",
    "Nearest",
    "OnlineWarp",
    "SoftValue",
    "Spring",
    "align",
    "canonical_warp",
    "derivative",
    "distance",
    "distances",
    "envelope",
    "lag_path",
    "lag_to_map",
    "lb_keogh",
    "nearest",
    "neighbourhood",
    "pairwise",
    "soft_divergence",
    "soft_divergence_gradient",
    "soft_dtw",
    "soft_dtw_gradient",
]
