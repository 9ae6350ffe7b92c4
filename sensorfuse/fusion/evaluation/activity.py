"""How well a strategy tells actions of people it was not trained on, by worn IMU and skeleton, and by each alone.

    sensorfuse eval activity --data DIR --strategy hybrid --seeds 5 --json scores.json

The usual cross-subject split of UTD-MHAD: subjects 1, 3, 5 and 7 teach, 2, 4, 6 and 8 judge. A run takes all its epochs
and nothing is chosen by the test subjects; settings are chosen by `--cross-validate`, which leaves out one training
subject at a time and never reads the others. One set of weights answers for both modalities and for each alone. Every
answer is an average over views of the window that differ in where it begins and ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.training.activity import ACTIVITY_CONFIG, VIEWS, ActivitySettings, ActivityTask, predict
from sensorfuse.fusion.training.activity_data import Windows, make_windows, read_recordings
from sensorfuse.fusion.training.activity_model import ActivityModel
from sensorfuse.fusion.training.loop import TrainConfig, train

TRAINING_SUBJECTS = (1, 3, 5, 7)
TEST_SUBJECTS = (2, 4, 6, 8)
CONDITIONS = ("both", "inertial", "skeleton")


def accuracies(model: ActivityModel, windows: Windows) -> dict[str, dict[str, float]]:
    """Per strategy and condition, the share of windows whose likeliest action is the true one."""
    truth = torch.from_numpy(windows.action)
    out = {}
    for strategy, answers in predict(model, windows).items():
        right = (answers.argmax(dim=2) == truth).float().mean(dim=1)
        out[strategy] = dict(zip(CONDITIONS, right.tolist(), strict=True))
    return out


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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(prog="sensorfuse eval activity", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with Inertial/ and Skeleton/")
    parser.add_argument("--strategy", action="append", help="may be repeated; default: hybrid")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=ACTIVITY_CONFIG.epochs)
    parser.add_argument("--cross-validate", action="store_true", help="inside the training subjects only")
    parser.add_argument("--json", type=Path, help="write the scores here, after every run")
    given = parser.parse_args(arguments)
    try:
        windows = make_windows(read_recordings(given.data))
        config = ACTIVITY_CONFIG.model_copy(update={"epochs": given.epochs})
        scores = evaluate(
            windows, given.strategy or ["hybrid"], given.seeds, config, None, given.cross_validate, given.json
        )
    except SensorfuseError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(table(scores["strategies"]))
