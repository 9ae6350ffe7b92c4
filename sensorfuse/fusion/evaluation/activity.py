"""How well a strategy tells actions of people it was not trained on, by worn IMU and skeleton, and by each alone.

The usual cross-subject split of UTD-MHAD: subjects 1, 3, 5 and 7 teach, 2, 4, 6 and 8 judge. A run takes all its epochs
and nothing is chosen by the test subjects; settings are chosen by `--cross-validate`, which leaves out one training
subject at a time and never reads the others. One set of weights answers for both modalities and for each alone. Every
answer is an average over views of the window that differ in where it begins and ends.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.training.activity import (
    ACTIVITY_CONFIG,
    SUBSETS,
    VIEWS,
    ActivitySettings,
    ActivityTask,
    predict,
)
from sensorfuse.fusion.training.activity_augmentation import read_plain
from sensorfuse.fusion.training.activity_data import ACTIONS, TEST_SUBJECTS, TRAINING_SUBJECTS, Windows
from sensorfuse.fusion.training.activity_model import STEPS, ActivityModel
from sensorfuse.fusion.training.loop import TrainConfig, train
from sensorfuse.plain_json import read_object

CONDITIONS = ("both", "inertial", "skeleton")


def accuracies(model: ActivityModel, windows: Windows) -> dict[str, dict[str, float]]:
    """Per strategy and condition, the share of windows whose likeliest action is the true one."""
    return {strategy: _shares(answers.numpy(), windows) for strategy, answers in predict(model, windows).items()}


def _shares(answers: NDArray[np.float32], windows: Windows) -> dict[str, float]:
    right = (answers.argmax(axis=2) == windows.action).mean(axis=1)
    return dict(zip(CONDITIONS, right.tolist(), strict=True))


def judge_published(folder: Path, strategies: Sequence[str], windows: Windows) -> dict[str, Any]:
    """Accuracies of trained networks (`sensorfuse train --task activity`) by windows of the subjects that judge, as
    `evaluate` gives them: one run each.

    Raises:
        SensorfuseError: a network or its record is missing, or of another task.
    """
    others = windows.of_subjects(TEST_SUBJECTS)
    every = np.arange(len(others))
    out: dict[str, Any] = {}
    for strategy in strategies:
        card = _read_card(folder / f"{strategy}.json")
        engine = OnnxRuntimeEngine(folder / f"{strategy}.onnx")
        sums = np.zeros((len(CONDITIONS), len(others), ACTIONS), np.float32)
        for cut in VIEWS:
            inertial, skeleton = read_plain(others, every, STEPS, cut)
            for n, present in enumerate(SUBSETS.numpy()):
                given = {"inertial": inertial, "skeleton": skeleton, "present": np.tile(present, (len(others), 1))}
                sums[n] += engine.run(given)["probabilities"]
        told = {name: card.get(name) for name in ("taught", "parameters", "training_s")}
        out[strategy] = summary([{"seed": card["config"]["seed"], "accuracy": _shares(sums, others), **told}])
    return {"judged": TEST_SUBJECTS, "views": VIEWS, "strategies": out}


def _read_card(file: Path) -> dict[str, Any]:
    try:
        card = read_object(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SensorfuseError(
            f"{file}: no record of a trained network; `sensorfuse train --task activity --strategy {file.stem} "
            f"--out {file.parent}` makes one"
        ) from None
    if card.get("task") != "activity":
        raise SensorfuseError(f"{file}: is of another task; expected activity")
    return card


def run(
    windows: Windows,
    taught: Sequence[int],
    judged: Sequence[int],
    config: TrainConfig,
    settings: ActivitySettings | None = None,
) -> dict[str, Any]:
    """Train on some subjects, judge by others: accuracies, and what it took.

    Raises:
        SensorfuseError: a subject has no recording; the strategy is unknown; there is too little data.
    """
    task = ActivityTask(windows.of_subjects(taught), settings=settings)
    others = windows.of_subjects(judged)
    with tempfile.TemporaryDirectory() as folder:
        trained = train(task, config, Path(folder))
    assert isinstance(trained.model, ActivityModel)
    (strategy,) = config.strategies
    return {
        "seed": config.seed,
        "taught": list(taught),
        "judged": list(judged),
        "accuracy": accuracies(trained.model, others)[strategy],
        "parameters": sum(p.numel() for p in trained.model.network(strategy).parameters()),
        "training_s": trained.training_s,
    }


def protocol(
    windows: Windows, config: TrainConfig, seeds: int, cross_validate: bool, settings: ActivitySettings | None = None
) -> Iterator[dict[str, Any]]:
    """Runs of one strategy as they come: a seed each on the usual split, or for each seed one training subject left out
    at a time.
    """
    for seed in range(seeds):
        seeded = config.model_copy(update={"seed": seed})
        if not cross_validate:
            yield run(windows, TRAINING_SUBJECTS, TEST_SUBJECTS, seeded, settings)
            continue
        for subject in TRAINING_SUBJECTS:
            others = [s for s in TRAINING_SUBJECTS if s != subject]
            yield run(windows, others, [subject], seeded, settings)


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (of a sample; 0 for one run) of accuracy per condition, and the runs."""
    values = {c: np.array([r["accuracy"][c] for r in runs]) for c in CONDITIONS}
    return {
        "mean": {c: round(float(v.mean()), 4) for c, v in values.items()},
        "sd": {c: round(float(v.std(ddof=1)) if len(v) > 1 else 0.0, 4) for c, v in values.items()},
        "runs": list(runs),
    }


def table(scores: dict[str, Any]) -> str:
    """Accuracy in percent, mean and standard deviation over runs: a row per strategy, a column per condition."""
    rows = ["strategy".ljust(24) + "runs".rjust(5) + "".join(c.rjust(16) for c in CONDITIONS)]
    for name, score in scores.items():
        cells = (f"{100 * score['mean'][c]:.1f} +- {100 * score['sd'][c]:.1f}".rjust(16) for c in CONDITIONS)
        rows.append(name.ljust(24) + str(len(score["runs"])).rjust(5) + "".join(cells))
    return "\n".join(rows)


def evaluate(
    windows: Windows,
    strategies: Sequence[str],
    seeds: int,
    config: TrainConfig = ACTIVITY_CONFIG,
    settings: ActivitySettings | None = None,
    cross_validate: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """What is written as JSON: the protocol, the configuration, and a `summary` per strategy. `out` is written after
    every run.
    """
    settings = settings or ActivitySettings()
    result: dict[str, Any] = {
        "taught": TRAINING_SUBJECTS,
        "judged": "each training subject by the others" if cross_validate else TEST_SUBJECTS,
        "config": config.model_dump(exclude={"strategies", "seed"}),
        "settings": settings.model_dump(),
        "views": VIEWS,
        "strategies": {},
    }
    total = len(strategies) * seeds * (len(TRAINING_SUBJECTS) if cross_validate else 1)
    started, done = time.monotonic(), 0
    for strategy in strategies:
        runs: list[dict[str, Any]] = []
        chosen = config.model_copy(update={"strategies": (strategy,)})
        for one in protocol(windows, chosen, seeds, cross_validate, settings):
            runs.append(one)
            done += 1
            result["strategies"][strategy] = summary(runs)
            if out is not None:
                out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            left = (time.monotonic() - started) / done * (total - done)
            told = ", ".join(f"{c} {100 * a:.1f} %" for c, a in one["accuracy"].items())
            print(f"\n{strategy} {done}/{total}: {told}; {left / 60:.1f} min left", file=sys.stderr)
    return result
