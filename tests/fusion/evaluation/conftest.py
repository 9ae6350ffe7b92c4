"""One small robustness report, for all tests that look at one."""

from __future__ import annotations

from typing import Any

import pytest

from sensorfuse.fusion.evaluation.corruptions import find_corruption
from sensorfuse.fusion.evaluation.robustness import Protocol, assess
from sensorfuse.rig import Rig

SOME = ("camera_dark", "lidar_drop", "lidar_range_noise", "audio_noise", "extrinsic_rotation")


@pytest.fixture(scope="session")
def robustness_report(small_rig: Rig) -> dict[str, Any]:
    """Of late fusion alone: two ticks of one world, five corruptions, two levels."""
    corruptions = tuple(find_corruption(c) for c in SOME)
    protocol = Protocol((("town", 5002),), runs=1, ticks=2, levels=(0.0, 0.5, 1.0), corruptions=corruptions)
    return assess(small_rig, ["late"], protocol)
