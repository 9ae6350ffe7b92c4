"""Row times against what a stamp means, and against the simulated camera."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.rolling_shutter import row_times_ns
from sensorfuse.messages import StampSemantics
from sensorfuse.sensor_config import Intrinsics

LENS = Intrinsics(width=64, height=41, fx=60.0, fy=60.0, cx=31.5, cy=20.0, readout_s=0.02, exposure_s=0.004)


@pytest.mark.parametrize(("stamp", "first_ms"), [("start", 2.0), ("mid", -10.0), ("end", -22.0)])
def test_first_and_last_row(stamp: StampSemantics, first_ms: float) -> None:
    times = row_times_ns(1_000_000_000, stamp, LENS)
    assert times.shape == (41,)
    assert times[0] - 1_000_000_000 == pytest.approx(1e6 * first_ms)
    assert times[-1] - times[0] == 20_000_000
    assert (np.diff(times) == 500_000).all()


def test_rows_may_be_fractions_and_outside() -> None:
    np.testing.assert_array_equal(row_times_ns(0, "start", LENS, [-2.0, 0.5]), [1_000_000, 2_250_000])


def test_a_global_shutter_has_one_time() -> None:
    lens = LENS.model_copy(update={"readout_s": 0.0})
    assert set(row_times_ns(7, "mid", lens).tolist()) == {7}
