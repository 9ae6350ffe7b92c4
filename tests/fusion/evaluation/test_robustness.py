from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.corruptions import find_corruption
from sensorfuse.fusion.evaluation.robustness import (
    Protocol,
    RobustnessConfig,
    default_extent,
    judge_corruptions,
)
from sensorfuse.fusion.evaluation.robustness_play import Contestant, Player
from sensorfuse.fusion.evaluation.robustness_summary import SINGLE
from sensorfuse.fusion.late import LateFusion
from sensorfuse.messages import MODALITIES
from sensorfuse.rig import Rig


def test_it_is_plain_json_and_says_what_was_done(robustness_report: dict[str, Any]) -> None:
    again = json.loads(json.dumps(robustness_report, allow_nan=False))
    assert again == robustness_report
    protocol = robustness_report["protocol"]
    assert (protocol["ticks"], protocol["worlds"], protocol["levels"]) == (2, ["town 5002"], [0, 0.5, 1])


def test_what_a_strategy_does_not_look_at_costs_it_nothing(robustness_report: dict[str, Any]) -> None:
    """Late fusion has no use for a camera."""
    row = robustness_report["strategies"]["late"]["corruptions"]["camera_dark"]
    assert row["nds"]["ra"] == row["nds"]["tau_rel_of_clean"] == 1
    assert len(set(row["curves"]["nds"])) == 1


def test_losing_every_sweep_is_having_no_lidar(robustness_report: dict[str, Any]) -> None:
    late = robustness_report["strategies"]["late"]
    without = late["subsets"]["camera+radar+imu+audio"]
    assert len(late["subsets"]) == 31
    for metric in ("nds", "map", "nds_ahead"):
        assert late["corruptions"]["lidar_drop"]["curves"][metric][-1] == without[metric]
        assert late["corruptions"]["lidar_drop"]["curves"][metric][0] == late["clean"][metric]
        assert late["subsets"]["camera+lidar+radar+imu+audio"][metric] == late["clean"][metric]
    assert without["nds"] < late["clean"]["nds"]


def test_harm_is_seen(robustness_report: dict[str, Any]) -> None:
    rows = robustness_report["strategies"]["late"]["corruptions"]
    assert rows["lidar_range_noise"]["nds"]["ra"] < 0.9
    assert rows["extrinsic_rotation"]["nds"]["worst"] < rows["extrinsic_rotation"]["curves"]["nds"][0]


def test_late_is_its_own_base(robustness_report: dict[str, Any]) -> None:
    late = robustness_report["strategies"]["late"]
    assert late["tau_eff"] == late["mrra"] == 0
    assert 0 < late["mra"] < 1


def test_the_best_single_sensor_is_untouched_by_the_faults_of_others(robustness_report: dict[str, Any]) -> None:
    single = robustness_report["protocol"]["single"]
    row = robustness_report["strategies"][SINGLE]
    subsets = robustness_report["strategies"]["late"]["subsets"]
    assert row["clean"]["nds"] == max(subsets[m]["nds"] for m in MODALITIES) == subsets[single["modality"]]["nds"]
    other = "lidar_range_noise" if single["modality"] != "lidar" else "camera_dark"
    assert row["corruptions"][other]["nds"]["ra"] == 1
    assert "fuse_ms" not in row["corruptions"][other]
    assert robustness_report["strategies"]["late"]["corruptions"][other]["fuse_ms"]["p50"] > 0


def test_gaps_cost_something_and_are_over_when_they_end(robustness_report: dict[str, Any]) -> None:
    gaps = robustness_report["strategies"]["late"]["gaps"]
    first, end = gaps["lidar"]["gap_ticks"]
    assert end - first == 10
    for gap in gaps.values():
        assert gap["nds"][:first] == gap["nds_without"][:first]
        assert gap["nds"][end:] == gap["nds_without"][end:]
        assert gap["recovery_ticks"] == 0
    assert gaps["camera"]["left"] == 1
    assert gaps["all_three"]["left"] < gaps["lidar"]["left"] < 1


def test_the_same_twice(small_rig: Rig) -> None:
    protocol = Protocol((("town", 3),), runs=1, ticks=1, levels=(0, 1), corruptions=(find_corruption("lidar_snow"),))

    def scores() -> list[dict[str, float]]:
        late = LateFusion(small_rig)
        contestants = {"late": Contestant("late", late, MODALITIES)}
        records = judge_corruptions(
            protocol.make_runs(small_rig), contestants, Player({"late": late}), protocol, lambda what, share: None
        )
        return [r.scores() for r in records.values()]

    assert scores() == scores()


def test_protocols_that_cannot_be() -> None:
    for levels in ((0.0,), (0.0, 0.5), (0.1, 1.0), (0.0, 0.6, 0.5, 1.0)):
        with pytest.raises(SensorfuseError, match="levels"):
            Protocol((("town", 1),), levels=levels)
    with pytest.raises(SensorfuseError, match="runs"):
        Protocol((("town", 1),), runs=0)
    with pytest.raises(SensorfuseError, match="worlds"):
        Protocol(())


def test_more_strategies_get_fewer_runs() -> None:
    ticks = [np.prod(default_extent(n, 4)) * n for n in (1, 2, 3, 5, 9, 12)]
    assert all(27 < t <= 54 for t in ticks)  # runs times strategies stay alike
    assert default_extent(3, 4) == (6, 3)
    assert default_extent(100, 4) == (3, 1)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"corruptions": ("hail",)}, "no corruption is called 'hail'"),
        ({"levels": 1}, "levels must rise"),
        ({"worlds": 0}, "worlds must be at least 1"),
        ({"runs": 0}, "runs must be at least 1"),
    ],
)
def test_what_cannot_be_judged_is_said(choice: dict[str, Any], words: str, small_rig: Rig) -> None:
    with pytest.raises(SensorfuseError, match=words):
        RobustnessConfig(**choice).protocol(small_rig, ["late"])


def test_a_quick_look_is_small_and_says_what_it_looks_at(small_rig: Rig) -> None:
    quick = RobustnessConfig(quick=True, scenarios=("town", "city"), seed=6000).protocol(small_rig, ["late", "hybrid"])
    assert quick.worlds == (("town", 6000), ("city", 6000))
    assert (quick.runs, quick.ticks, quick.levels) == (1, 1, (0.0, 1.0))
    assert len(quick.corruptions) < len(RobustnessConfig().protocol(small_rig, ["late"]).corruptions) / 2
    asked = RobustnessConfig(quick=True, corruptions=("lidar_drop",)).protocol(small_rig, ["late"])
    assert [c.name for c in asked.corruptions] == ["lidar_drop"]
