import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
from activity_folder import draw_windows

import sensorfuse.fusion.evaluation.activity as evaluation
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.activity import (
    CONDITIONS,
    evaluate,
    judge_published,
    protocol,
    summary,
    table,
)
from sensorfuse.fusion.training.activity import ACTIVITY_CONFIG, ActivityTask
from sensorfuse.fusion.training.activity_data import (
    TEST_SUBJECTS,
    TRAINING_SUBJECTS,
    Windows,
    make_windows,
    read_recordings,
)
from sensorfuse.fusion.training.activity_model import ActivityModel
from sensorfuse.fusion.training.activity_publish import publish_activity
from sensorfuse.fusion.training.loop import train

EVERYONE = (1, 2, 3, 4, 5, 6, 7, 8)
TINY = ACTIVITY_CONFIG.model_copy(update={"strategies": ("late_learned",), "epochs": 1, "batch": 4})


@pytest.fixture(scope="module")
def windows() -> Windows:
    return draw_windows((0, 1, 2), EVERYONE)


def one(seed: int, *accuracy: float) -> dict[str, Any]:
    return {"seed": seed, "accuracy": dict(zip(CONDITIONS, accuracy, strict=True))}


def test_mean_and_spread_over_runs() -> None:
    runs = [one(0, 0.9, 0.5, 0.6), one(1, 1.0, 0.7, 0.6)]
    got = summary(runs)
    assert got["mean"] == {"both": 0.95, "inertial": 0.6, "skeleton": 0.6}
    assert got["sd"] == {"both": round(0.1 / 2**0.5, 4), "inertial": round(0.2 / 2**0.5, 4), "skeleton": 0.0}
    assert got["runs"] == runs
    assert summary(runs[:1])["sd"]["both"] == 0.0
    rows = table({"hybrid": got}).splitlines()
    assert rows[0].split() == ["strategy", "runs", *CONDITIONS]
    assert rows[1].split() == ["hybrid", "2", "95.0", "+-", "7.1", "60.0", "+-", "14.1", "60.0", "+-", "0.0"]


def test_the_usual_split_teaches_by_some_and_judges_by_others(windows: Windows) -> None:
    runs = list(protocol(windows, TINY, 2, cross_validate=False))
    assert [r["seed"] for r in runs] == [0, 1]
    for r in runs:
        assert r["taught"] == [1, 3, 5, 7]
        assert r["judged"] == [2, 4, 6, 8]
        assert all(0 <= a <= 1 for a in r["accuracy"].values())
    again = next(protocol(windows, TINY, 1, cross_validate=False))
    assert again["accuracy"] == runs[0]["accuracy"]


def test_cross_validation_leaves_each_training_subject_out_and_never_sees_the_test_subjects(windows: Windows) -> None:
    poisoned = windows.inertial.copy()
    poisoned[np.isin(windows.subject, TEST_SUBJECTS)] = np.nan
    runs, blind = (
        list(protocol(w, TINY, 1, cross_validate=True)) for w in (windows, replace(windows, inertial=poisoned))
    )
    assert [r["judged"] for r in runs] == [[s] for s in TRAINING_SUBJECTS]
    assert all(set(r["taught"]) == set(TRAINING_SUBJECTS) - set(r["judged"]) for r in runs)
    assert [r["accuracy"] for r in runs] == [r["accuracy"] for r in blind]


def test_what_the_test_subjects_are_changes_nothing_that_is_learned(windows: Windows) -> None:
    """No epoch is chosen by them: judged windows other than these get answers from the same weights."""
    moved = windows.skeleton.copy()
    moved[np.isin(windows.subject, (2,))] *= 3
    first = evaluation.run(windows, TRAINING_SUBJECTS, (4, 6, 8), TINY)
    second = evaluation.run(replace(windows, skeleton=moved), TRAINING_SUBJECTS, TEST_SUBJECTS, TINY)
    third = evaluation.run(replace(windows, skeleton=moved), TRAINING_SUBJECTS, (4, 6, 8), TINY)
    assert first["accuracy"] == third["accuracy"]
    assert second["accuracy"]["inertial"] >= 0


def test_scores_of_several_strategies_are_written_as_they_come(windows: Windows, tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    result = evaluate(windows, ["early", "late_learned"], 1, TINY, out=file)
    written = json.loads(file.read_text())
    assert written == json.loads(json.dumps(result))
    assert list(written["strategies"]) == ["early", "late_learned"]
    assert written["judged"] == list(TEST_SUBJECTS)
    assert written["config"]["epochs"] == 1
    assert written["strategies"]["early"]["runs"][0]["parameters"] > 1000


def test_published_networks_are_judged_as_the_model_they_were_made_of(windows: Windows, tmp_path: Path) -> None:
    """Trained by the same seed, a network in a file scores what a run scores."""
    task = ActivityTask(windows.of_subjects(TRAINING_SUBJECTS))
    model = train(task, TINY, tmp_path).model
    assert isinstance(model, ActivityModel)
    publish_activity(model, TINY, task.settings, {"taught": TRAINING_SUBJECTS}, tmp_path)
    scores = judge_published(tmp_path, ["late_learned"], windows)
    (one_run,) = scores["strategies"]["late_learned"]["runs"]
    assert one_run["accuracy"] == pytest.approx(
        evaluation.run(windows, TRAINING_SUBJECTS, TEST_SUBJECTS, TINY)["accuracy"]
    )
    card = json.loads((tmp_path / "late_learned.json").read_text())
    assert card["parity"] <= 1e-4
    assert card["task"] == "activity"
    with pytest.raises(SensorfuseError, match="train --task activity --strategy early"):
        judge_published(tmp_path, ["early"], windows)
    (tmp_path / "early.json").write_text('{"task": "driving"}')
    with pytest.raises(SensorfuseError, match="of another task"):
        judge_published(tmp_path, ["early"], windows)


def test_an_unknown_subject_is_an_error_in_words(windows: Windows) -> None:
    with pytest.raises(SensorfuseError, match="no recordings of subject 9"):
        evaluation.run(windows, (1, 3), (9,), TINY)


def test_one_short_run_on_the_real_recordings_beats_chance(data_dir: Path) -> None:
    folder = data_dir / "utd_mhad"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found = [r for r in read_recordings(folder) if r.action < 4 and r.subject in (1, 3)]
    config = TINY.model_copy(update={"strategies": ("hybrid",), "epochs": 25, "batch": 8, "averaging": 0.5})
    got = evaluation.run(make_windows(found), (1,), (3,), config)
    assert all(a > 0.4 for a in got["accuracy"].values())  # one in four by chance, of these actions
