"""What faults cost, on made-up runs whose answer is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.fault import parse_fault
from sensorfuse.inject.limits import MEASURES, make_limit, parse_limit
from sensorfuse.inject.verdict import Damage, TickRow, judge, recovery_s, score
from sensorfuse.messages import Detections, Truth
from sensorfuse.report.faults import fault_rows, fault_section, limit_rows
from sensorfuse.tick_set import longest_gap

PERIOD_S = 0.1


def one_object(shift_m: float) -> tuple[Detections, Truth]:
    def at(x: float) -> Detections:
        row = np.zeros((1, 3))
        row[0, 0] = x
        one = np.ones(1)
        return Detections(
            np.zeros(1, np.uint8), one.astype(np.float32), row, np.ones((1, 3)), np.zeros(1), np.zeros((1, 2)),
            np.zeros((1, 4, 4)), np.zeros(1, np.int64),
        )  # fmt: skip

    truth = Truth(0, at(10.0))
    return at(10.0 + shift_m), truth


def rows(gone: tuple[float, float], missing: tuple[int, ...] = (), n: int = 150) -> list[TickRow]:
    """A run that lacks the LiDAR in a span of seconds, where its tracks are off too; some ticks never came."""
    out = []
    for k in range(n):
        t = k * PERIOD_S
        away = gone[0] <= t < gone[1]
        used = frozenset({"camera"} if away else {"camera", "lidar"})
        if k not in missing:
            out.append(TickRow(k, t, used, one_object(3.0 if away else 0.0)))
    return out


def test_a_fault_and_its_aftermath() -> None:
    (verdict,) = judge([parse_fault("lidar:drop@5+4")], rows((5.0, 9.55), missing=(60, 61, 140)), 150, PERIOD_S)
    assert (verdict.begin_s, verdict.end_s) == (5, 9)
    assert (verdict.ticks, verdict.ticks_expected, verdict.longest_gap) == (58, 60, 2)
    assert verdict.used_share == 0
    assert verdict.recovery_s == pytest.approx(0.6)
    assert verdict.score_before == verdict.score_after > 0.95
    assert verdict.score_during < 0.5


def test_recovery_needs_to_last() -> None:
    fault = parse_fault("lidar:drop@5+4")
    flicker = rows((5.0, 9.55))
    flicker[92].used = flicker[93].used = frozenset({"lidar"})
    assert recovery_s(fault, flicker, 9.0) == pytest.approx(0.6)
    assert recovery_s(fault, rows((5.0, 99.0)), 9.0) == math.inf
    assert math.isnan(recovery_s(parse_fault("lidar:drop@5"), rows((5.0, 9.0)), 15.0)), "it never ended"
    assert math.isnan(recovery_s(parse_fault("align.0:kill@5"), rows((5.0, 9.0)), 5.0)), "no stream"


def test_scores_leave_out_the_time_of_other_faults() -> None:
    both = [parse_fault("lidar:drop@5+2"), parse_fault("camera:kill@11+2")]
    first, second = judge(both, rows((5.0, 7.0)), 150, PERIOD_S)
    assert second.score_before > 0.95
    assert first.score_during < 0.5
    assert second.used_share == 1.0


def test_gaps_and_no_score() -> None:
    assert longest_gap({0, 1, 4, 9}, (0, 10)) == 4
    assert longest_gap({0, 1}, (0, 2)) == 0
    assert longest_gap(set(), (3, 6)) == 3
    assert math.isnan(score([]))


def test_limits_pass_and_fail_and_what_is_not_measured_fails() -> None:
    damage = Damage(measures={"ticks_missed": 0, "score": 0.5, "recovery_s": math.inf, "score_after": None})
    cases = {
        "ticks_missed=0": True,
        "score=0.4": True,
        "score=0.6": False,
        "recovery_s=2": False,
        "score_after=0": False,
    }
    for text, kept in cases.items():
        damage.hold_to([parse_limit(text)])
        assert damage.kept is kept, text
    for text in ("score", "score=high", "luck=1"):
        with pytest.raises(SensorfuseError, match="limit"):
            parse_limit(text)
    assert all(str(make_limit(m, 1.0)) for m in MEASURES)


def test_a_damage_is_plain_values_and_a_table() -> None:
    faults = [parse_fault("lidar:drop@5+4"), parse_fault("lidar:freeze@12")]
    damage = Damage(judge(faults, rows((5.0, 99.0)), 150, PERIOD_S), {"recovery_s": math.inf})
    damage.hold_to([parse_limit("recovery_s=2")])
    plain = json.loads(json.dumps(damage.to_dict(), allow_nan=False))
    assert [row["recovered"] for row in plain["faults"]] == [False, None]
    assert fault_rows(plain)[0][:3] == ["lidar:drop@5+4", "60/60", "0"]
    assert "never" in fault_rows(plain)[0]
    assert limit_rows(plain) == [["recovery_s <= 2", "–", "NOT KEPT"]]
    page = fault_section(plain)
    assert "lidar:freeze@12" in page
    assert "NOT KEPT" in page
    assert fault_section({"faults": [], "limits": []}) == fault_section(None) == ""
