"""Many pairs give what one pair gives, whatever the number of threads."""

import numpy as np
import pytest

from sensorfuse.align import dtw
from sensorfuse.errors import SensorfuseError


def series(count, d, seed=0):
    rng = np.random.default_rng(seed)
    made = [rng.standard_normal((int(rng.integers(3, 60)), d)).cumsum(0) for _ in range(count)]
    made[1][1, 0] = np.nan
    return made


@pytest.mark.parametrize("workers", [1, 3, None])
@pytest.mark.parametrize("options", [{}, {"band": 5}, {"cost": "shape", "half_window": 2}, {"cost": "derivative"}])
def test_pairwise_is_distance_of_each_pair(workers, options):
    made = series(7, 2)
    found = dtw.pairwise(made, workers=workers, **options)
    for i in range(7):
        assert found[i, i] == 0
        for j in range(i):
            want = dtw.distance(made[j], made[i], **options)
            assert found[i, j] == found[j, i] == pytest.approx(want, rel=1e-9)


def test_pairwise_with_others_and_distances():
    made, others = series(4, 3), series(3, 3, 1)
    matrix = dtw.pairwise(made, others, band=8)
    assert matrix.shape == (4, 3)
    listed = dtw.distances([(a, b) for a in made for b in others], band=8)
    np.testing.assert_array_equal(listed, matrix.ravel())
    assert matrix[2, 1] == pytest.approx(dtw.distance(made[2], others[1], band=8), rel=1e-12)


def test_no_pairs_and_bad_ones():
    assert dtw.distances([]).shape == (0,)
    assert dtw.pairwise([[1.0, 2.0]]).tolist() == [[0.0]]
    with pytest.raises(SensorfuseError, match="series 1 has infinite values"):
        dtw.distances([([1.0], [np.inf])])
    with pytest.raises(SensorfuseError, match=r"\[1, 2\] channels"):
        dtw.distances([([1.0], [1.0]), (np.zeros((2, 2)), np.zeros((2, 2)))])
    with pytest.raises(SensorfuseError, match="workers is 0"):
        dtw.distances([([1.0], [1.0])], workers=0)
