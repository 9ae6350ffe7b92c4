import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.degraded import Expectations
from sensorfuse.fusion.evaluation import accuracy
from sensorfuse.fusion.evaluation.accuracy import (
    Tally,
    conditions,
    evaluate,
    fuse_run,
    into_cards,
    print_scores,
    runs,
)
from sensorfuse.fusion.evaluation.accuracy_table import BEGIN, END, markdown, write_into
from sensorfuse.fusion.evaluation.matching import match_centres
from sensorfuse.fusion.evaluation.robustness_runs import Scene
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.messages import CLASSES, Detections, Sample, SoundEvent, Tick, Truth
from sensorfuse.rig import Rig


def objects_at(xy: list[tuple[float, float]], scores: list[float] | None = None, name: str = "car") -> Detections:
    n = len(xy)
    return Detections(
        np.full(n, CLASSES.index(name), np.uint8),
        np.array(scores or [1.0] * n, np.float32),
        np.column_stack([np.array(xy, float).reshape(n, 2), np.zeros(n)]),
        np.ones((n, 3)),
        np.zeros(n),
        np.zeros((n, 2)),
        np.zeros((n, 4, 4)),
        np.arange(n),
    )


def test_matching_takes_the_best_first_and_each_truth_once() -> None:
    truth = objects_at([(0, 0), (10, 0)])
    found = objects_at([(0.5, 0), (0, 0.2), (10, 1.9), (12.5, 0)], [0.3, 0.9, 0.5, 0.8])
    assert match_centres(found, truth).tolist() == [False, True, True, False]
    assert not match_centres(found, Detections.empty()).any()


def scene(truth: Detections, visible: list[bool], sounds: list[SoundEvent] | None = None) -> Scene:
    tick = Tick(0, 0, 0, False, [], np.eye(4), np.zeros(6), np.ones(6))
    return Scene(
        tick, {}, Truth(0, truth, twist=np.array([5.0, 0, 0, 0, 0, 0.1]), sounds=sounds or []), np.array(visible)
    )


def test_objects_that_nothing_reaches_count_neither_way() -> None:
    """A find near the hidden object changes nothing; one where there is nothing costs precision."""
    truth = objects_at([(5, 0), (20, 0)])

    def judge(found: Detections) -> dict[str, float]:
        tally = Tally()
        tally.add(FusionResult(found, {}), scene(truth, [True, False]))
        return tally.summary()

    best = judge(objects_at([(5, 0)], [0.9]))
    assert best["map"] == best["ap_vehicle"] == pytest.approx(1)
    assert judge(objects_at([(5, 0), (20, 1)], [0.9, 0.95])) == best
    assert judge(objects_at([(5, 0), (-30, 0)], [0.9, 0.95]))["map"] < 0.6
    assert judge(Detections.empty())["map"] == 0


def test_kinds_of_vehicles_are_one_group_and_people_another() -> None:
    tally = Tally()
    objects = Detections.concatenate([objects_at([(5, 0)], name="bus"), objects_at([(15, 0)], name="pedestrian")])
    found = Detections.concatenate([objects_at([(5, 0)], name="car"), objects_at([(15, 0)], name="cyclist")])
    tally.add(FusionResult(found, {}), scene(objects, [True, True]))
    summary = tally.summary()
    assert summary["ap_vehicle"] == pytest.approx(1)
    assert summary["ap_pedestrian"] == 0
    assert "ap_cyclist" not in summary


def test_motion_and_sounds() -> None:
    tally = Tally()
    sounds = [SoundEvent("siren", 3.1, 1.0), SoundEvent("siren", 0.5, 1.0), SoundEvent("horn", 0.0, 1.0)]
    result = FusionResult(
        objects_at([(5, 0)]),
        {},
        sounds=[SoundEvent("siren", -3.1, 0.9), SoundEvent("engine", 0.0, 0.8)],
        twist=np.array([6.0, 0, 0, 0, 0, 0.1]),
    )
    tally.add(result, scene(objects_at([(5, 0)]), [True], sounds))
    summary = tally.summary()
    assert summary["vx_rms_mps"] == 1.0
    assert summary["sound_recall"] == summary["sound_precision"] == 0.5
    assert summary["direction_median_deg"] == pytest.approx(np.degrees(2 * np.pi - 6.2), abs=0.1)


class Remembering:
    """A fuser whose answer is how many ticks it has seen since it last forgot."""

    strategy = encoders = "late"
    model, engine, precision = "", "", ""

    def __init__(self) -> None:
        self.seen = 0

    def encode(self, sample: Sample) -> Sample:
        return sample

    def fuse(self, tick: Tick, evidence: dict[str, list[Sample]]) -> FusionResult:
        self.seen += 1
        return FusionResult(objects_at([(float(self.seen), len(evidence))]), {})

    def forget(self) -> None:
        self.seen = 0


def test_a_run_begins_without_memory_and_is_judged_at_its_last_tick(synthetic_rig: Rig) -> None:
    run = next(runs(synthetic_rig, "town", 5000, 1, length=3))
    assert np.diff([s.tick.t_ref_ns for s in run]).tolist() == [synthetic_rig.fusion.period_ns] * 2
    fuser = Remembering()
    evidence = [{n: [g] for n, g in s.samples.items()} for s in run]
    for _ in range(2):
        result, _ = fuse_run(fuser, run, evidence, ("lidar", "imu"), synthetic_rig)
        assert result.detections.center[0, :2].tolist() == [3.0, 2.0]  # ticks seen; streams given


def test_each_strategy_knows_the_times_of_encoders_that_it_shares(
    synthetic_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusers = {name: Remembering() for name in ("first", "second", "third")}
    fusers["third"].encoders = "others"
    monkeypatch.setattr(accuracy, "make_fuser", lambda rig, name, weights: fusers[name])
    given = {}
    for name in ("lidar", "radar"):
        stream = next(n for n, s in synthetic_rig.sensors.items() if s.modality == name)
        given[stream] = [Sample(stream, name, 0, 0, 0, "f", {})]
    empty = replace(scene(objects_at([(5, 0)]), [True]), samples=given)
    monkeypatch.setattr(accuracy, "runs", lambda *_: iter([[empty]]))
    scores = evaluate(synthetic_rig, list(fusers), [("town", 5000)], 1)["strategies"]
    for name, score in scores.items():
        assert set(score["median_ms"]) == {"encode_lidar", "encode_radar", "fuse"}, name
    modes = Expectations({**scores["second"], "conditions": {c: {"nds": 0.5} for c in ("all", "no_lidar", "no_radar")}})
    assert np.isfinite([modes.of(m).ms for m in (("lidar", "radar"), ("lidar",), ("radar",))]).all()


def test_late_fusion_is_judged_under_every_condition(synthetic_rig: Rig, tmp_path: Path) -> None:
    done: list[int] = []
    scores = evaluate(synthetic_rig, ["late"], [("town", 5000)], 3, progress=done.append)
    assert done == [1]
    judged = scores["strategies"]["late"]["conditions"]
    assert set(judged) == set(conditions(synthetic_rig))
    assert judged["all"]["map"] > judged["only_camera"]["map"]
    assert conditions(synthetic_rig)["only_radar"] == ("radar", "imu", "audio")
    into_cards(scores, tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "late.json").write_text("{")
    with pytest.raises(SensorfuseError, match=r"late\.json: the scores cannot be put there"):
        into_cards(scores, tmp_path / "damaged")
    print_scores(scores, Console(file=io.StringIO()))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(readme, tmp_path)
    text = readme.read_text()
    assert text == f"before\n{BEGIN}\n{markdown(tmp_path)}\n{END}\nafter\n"
    cells = markdown(tmp_path).splitlines()[2].split(" | ")
    assert cells[0] == "| `late`"
    assert cells[1] == f"{judged['all']['nds_ahead']:.3f}"
    readme.write_text("no marks")
    with pytest.raises(SensorfuseError, match=r"README\.md"):
        write_into(readme, tmp_path)
