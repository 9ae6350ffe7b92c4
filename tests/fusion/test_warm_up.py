"""Warm-up samples are sound for every shipped rig, and warming up leaves a strategy as it was."""

from __future__ import annotations

import pytest

from sensorfuse.fusion.late import LateFusion
from sensorfuse.fusion.warm_up import typical_sample, warm_up
from sensorfuse.messages import sample_problem
from sensorfuse.rig import shipped_rig, shipped_rigs


@pytest.mark.parametrize("name", shipped_rigs())
def test_typical_samples_are_sound(name: str) -> None:
    rig = shipped_rig(name)
    for stream in rig.streams():
        assert sample_problem(typical_sample(rig, stream)) is None, stream
    warm_up(rig, LateFusion(rig))
