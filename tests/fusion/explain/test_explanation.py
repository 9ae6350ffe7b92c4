"""A tick of a log explained: what the shares add up to, whose they are, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.cli import main
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.explain.explanation import Explanation, explain, share_out
from sensorfuse.fusion.explain.page import headline, write_explanation
from sensorfuse.fusion.explain.pictures import above, scene_figure
from sensorfuse.fusion.explain.subsets import matched_scores, network_values, object_cells
from sensorfuse.fusion.explain.tapped import TappedFusion
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.grid import GRID
from sensorfuse.messages import Detections
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.recording import write_simulated_log

AT_S = 0.7


@pytest.fixture(scope="module")
def log(small_rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "town.mcap"
    write_simulated_log(SimulatedRig(small_rig, "town", 3), path, 900_000_000)
    return path


@pytest.fixture(scope="module")
def learned(log: Path, small_rig: Rig) -> tuple[Explanation, TappedFusion]:
    explanation, fuser = explain(log, small_rig, "hybrid", AT_S)
    assert isinstance(fuser, TappedFusion)
    return explanation, fuser


@pytest.fixture(scope="module")
def late(log: Path, small_rig: Rig) -> Explanation:
    return explain(log, small_rig, "late", AT_S)[0]


def make_objects(*rows: tuple[float, float, float]) -> Detections:
    """Cars at (x, y) with a score."""
    n = len(rows)
    x, y, score = np.array(rows).T
    center = np.column_stack([x, y, np.zeros(n)])
    return Detections(
        np.zeros(n, np.uint8), score.astype(np.float32), center, np.ones((n, 3)), np.zeros(n), np.zeros((n, 2)),
        np.zeros((n, 4, 4)), np.full(n, -1),
    )  # fmt: skip


def test_shares_add_up_to_the_score_the_robot_gave(learned: tuple[Explanation, TappedFusion]) -> None:
    explanation, _ = learned
    found = explanation.moment.result.detections
    assert len(explanation.objects) == len(found) > 0
    for n, one in enumerate(explanation.objects):
        assert one.value == pytest.approx(float(found.score[n]), abs=1e-5)
        assert one.none + sum(one.shares.values()) == pytest.approx(one.value, abs=1e-9)
    assert explanation.moment.at_s == pytest.approx(AT_S, abs=0.11)
    assert set(explanation.players) == {"camera", "lidar", "radar", "imu", "audio"}


def test_who_is_told_to_be_absent_is_not_heard(learned: tuple[Explanation, TappedFusion]) -> None:
    _, fuser = learned
    without = fuser.tap.without(["camera", "imu"])
    for m in ("lidar", "radar", "audio"):
        fuser.tap.inputs[m] = np.full_like(fuser.tap.inputs[m], np.nan)
    again = fuser.tap.without(["camera", "imu"])
    assert all(np.array_equal(without[n], again[n]) for n in without)


def test_what_a_modality_cannot_give_has_no_share(late: Explanation) -> None:
    """Objects by rules come from LiDAR and radar, motion from radar and IMU, sound from the microphones alone."""
    assert late.objects
    for one in late.objects:
        assert one.shares["camera"] == one.shares["imu"] == one.shares["audio"] == 0
        assert one.none == 0
    speed, turn, *sounds = late.outputs
    assert turn.dominant == "imu"
    assert speed.shares["lidar"] == speed.shares["audio"] == turn.shares["audio"] == 0
    assert all(one.shares[m] == 0 for one in sounds for m in one.shares if m != "audio")


def test_what_is_written(late: Explanation, log: Path, small_rig: Rig, tmp_path: Path) -> None:
    data, page = write_explanation(tmp_path / "out", late, small_rig, log, "the <command>")
    facts = json.loads(data.read_text(encoding="utf-8"))
    assert facts["runs"] == 32
    assert facts["strategy"] == "late"
    assert [o["value"] for o in facts["objects"]] == pytest.approx([one.value for one in late.objects], abs=1e-6)
    html = page.read_text(encoding="utf-8")
    assert "the &lt;command&gt;" in html
    assert headline(late) in html
    assert "http" not in html


def test_the_command_tells_faults_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["sensorfuse", "explain", str(tmp_path / "none.mcap"), "--at", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "none.mcap: no such file" in capsys.readouterr().err


def test_an_object_has_the_colour_of_its_largest_share(
    learned: tuple[Explanation, TappedFusion], small_rig: Rig
) -> None:
    explanation, _ = learned
    legend = scene_figure(explanation, small_rig).axes[0].get_legend()
    told = [t.get_text() for t in legend.get_texts()] if legend else []
    dominant = {explanation.objects[n].dominant for n in explanation.shown}
    assert sum("mostly by" in t for t in told) == len(dominant)


def test_a_tick_without_evidence_has_no_shares(learned: tuple[Explanation, TappedFusion]) -> None:
    explanation, fuser = learned
    nothing = FusionResult(Detections.empty(), {})
    values = network_values(replace(explanation.moment, evidence={}, result=nothing), fuser.tap)
    assert values.players == ()
    assert share_out(values)[0] == []


def test_a_score_is_read_at_its_peak() -> None:
    score = np.zeros((3, GRID.cells, GRID.cells))
    score[0, 40, 20], score[0, 41, 22] = 0.7, 0.9
    x, y = GRID.metres([40.0, 20.0])
    assert object_cells(score, make_objects((x + 0.8, y - 0.8, 0.7))) == [(0, 40, 20)]


def test_each_found_object_answers_for_one() -> None:
    asked = make_objects((10, 0, 0.9), (11, 0, 0.8), (30, 0, 0.7))
    found = make_objects((10.9, 0, 0.5), (35, 0, 0.4))
    assert matched_scores(asked, found).tolist() == [0, 0.5, 0]
    assert matched_scores(asked, found.select(np.zeros(0, int))).tolist() == [0, 0, 0]


def test_forward_is_up_and_left_is_left() -> None:
    grid = np.zeros((4, 4))
    grid[3, 3] = 1  # ahead, to the left
    assert above(grid)[0, 0] == 1


def test_faults_are_told(log: Path, small_rig: Rig) -> None:
    with pytest.raises(SensorfuseError, match=r"no tick at 60 s; the log lasts 0\.\d s"):
        explain(log, small_rig, "late", 60.0)
    with pytest.raises(SensorfuseError, match="expected seconds after"):
        explain(log, small_rig, "late", -1.0)
    with pytest.raises(SensorfuseError, match="no fusion strategy is called 'x'"):
        explain(log, small_rig, "x", 0.5)


def test_on_a_recorded_drive(data_dir: Path) -> None:
    from sensorfuse.rig import shipped_rig

    explanation, _ = explain(data_dir / "radiate" / "tiny_foggy", shipped_rig("radiate"), "late", 2.0)
    assert "lidar" in explanation.players
    assert sum(one.dominant == "lidar" for one in explanation.objects) > 0
