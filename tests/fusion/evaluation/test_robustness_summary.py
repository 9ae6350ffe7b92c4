"""The summary of records whose scores are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sensorfuse.fusion.evaluation.robustness_gaps import CLEAN, GAPS, GapRecords
from sensorfuse.fusion.evaluation.robustness_summary import SINGLE, headline, summarise


@dataclass
class Known:
    """Stands for a record."""

    nds: float
    sound_f1: float | None = None

    def scores(self) -> dict[str, float]:
        return {"nds": self.nds} | ({} if self.sound_f1 is None else {"sound_f1": self.sound_f1})

    def nds_of_parts(self, parts: int) -> list[float]:
        return [self.nds, self.nds / 2][:parts]

    def latency_ms(self) -> dict[str, float]:
        return {"p50": 1.0 + self.nds, "p99": 2.0}


class Named:
    model, engine, precision = "m", "numpy", "float64"


def test_measures_means_and_what_is_not_seen() -> None:
    both, one = ("lidar", "audio"), ("lidar",)
    subsets = {("late", both): Known(0.5, 0.8), ("late", one): Known(0.45), ("hybrid", both): Known(0.8, 0.6)}
    corrupted = {
        ("late", "lidar_fog", 1): Known(0.4, 0.8),
        ("late", "lidar_fog", 2): Known(0.2, 0.8),
        ("hybrid", "lidar_fog", 1): Known(0.6, 0.6),
        ("hybrid", "lidar_fog", 2): Known(0.6, 0.6),
        (SINGLE, "lidar_fog", 1): Known(0.3),
        (SINGLE, "lidar_fog", 2): Known(0.1),
        ("late", "audio_noise", 1): Known(0.5, 0.4),
        ("late", "audio_noise", 2): Known(0.5, 0.0),
        ("hybrid", "audio_noise", 1): Known(0.8, 0.6),
        ("hybrid", "audio_noise", 2): Known(0.8, 0.6),
    }
    gaps = GapRecords(1, 2)
    for strategy in ("late", "hybrid"):
        for gap in (CLEAN, *GAPS):
            for tick, score in enumerate((0.5, 0.5, 0.5) if gap == CLEAN else (0.5, 0.1, 0.5)):
                gaps.records[strategy, gap, tick] = Known(score)  # type: ignore[assignment]
    fusers: dict[str, Any] = {"late": Named(), "hybrid": Named()}
    out = summarise(fusers, subsets, corrupted, gaps, (0, 0.5, 1), ("late", one), "late", 2)  # type: ignore[arg-type]
    fog = out["hybrid"]["corruptions"]["lidar_fog"]
    assert fog["curves"]["nds"] == [0.8, 0.6, 0.6]
    assert fog["nds"] == {
        "tau_rel": pytest.approx(0.65),
        "tau_rel_of_clean": pytest.approx(0.8125),
        "tau_eff": pytest.approx((0 - 0.1 + 0.1) / 3, abs=1e-5),
        "ra": pytest.approx(0.75),
        "rra": pytest.approx(1.0),
        "worst": 0.6,
    }
    assert fog["fuse_ms"]["p50"] == pytest.approx(1.6)
    assert out["late"]["corruptions"]["audio_noise"]["sound_f1"]["ra"] == pytest.approx(0.25)
    assert headline("audio_noise") == "sound_f1"
    assert headline("imbalanced_loss") == headline("imu_bias") == "nds"
    assert out["hybrid"]["mra"] == pytest.approx(0.75)  # of fog alone: noise in the ears is judged by what is heard
    assert out["hybrid"]["mra_interval"] == pytest.approx([0.75, 0.75])  # both worlds say the same
    assert out["hybrid"]["mra_over_base_interval"] == pytest.approx([0.15, 0.15])
    single = out[SINGLE]["corruptions"]
    assert single["audio_noise"]["curves"]["nds"] == [0.45, 0.45, 0.45]
    assert single["lidar_fog"]["curves"]["nds"] == [0.45, 0.3, 0.1]
    assert "sound_f1" not in single["audio_noise"]
    assert out["late"]["gaps"]["radar"] == {
        "nds": [0.5, 0.1, 0.5],
        "nds_without": [0.5, 0.5, 0.5],
        "gap_ticks": [1, 2],
        "left": pytest.approx(0.2),
        "recovery_ticks": 0,
    }
    assert out["hybrid"]["subsets"] == {"lidar+audio": {"nds": 0.8, "sound_f1": 0.6}}
