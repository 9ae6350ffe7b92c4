"""Every target takes its seeds, and a short run over each finds nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from sensorfuse.fuzz.mutation import Mutator
from sensorfuse.fuzz.table import TARGETS

SLOW = {"log_ros1": 4, "log_ros2": 4, "log_mcap": 9, "log_info": 5, "image": 60}


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    harness = TARGETS[name].open(tmp_path)
    for seed in harness.seeds:
        harness.run(seed)
    mutator = Mutator(harness.seeds, harness.structure, 1)
    for number in range(len(harness.seeds), SLOW.get(name, 10 * TARGETS[name].share + 30)):
        with contextlib.suppress(*harness.expected):
            harness.run(mutator.make(number))
