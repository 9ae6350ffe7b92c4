"""`sensorfuse train`: from data to networks that a robot runs, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sensorfuse.fusion.imputation.publish import measure, publish
from sensorfuse.fusion.imputation.task import JUDGED_TICKS, ImputationTask, spread
from sensorfuse.fusion.model_files import ENCODERS_FILE, file_digest
from sensorfuse.fusion.training.activity import ActivitySettings, ActivityTask
from sensorfuse.fusion.training.activity_data import TRAINING_SUBJECTS, make_windows, read_recordings
from sensorfuse.fusion.training.activity_publish import publish_activity
from sensorfuse.fusion.training.dataset import read_index
from sensorfuse.fusion.training.driving import DrivingTask
from sensorfuse.fusion.training.examples import Examples
from sensorfuse.fusion.training.feature_task import FeatureTask, read_features
from sensorfuse.fusion.training.loop import TrainConfig, train
from sensorfuse.fusion.training.publish import publish_encoders, publish_networks


def train_driving(
    config: TrainConfig, data: Path, out: Path, command: str, encoders: Path | None = None, resume: bool = False
) -> None:
    """Train strategies on the driving task and write them to `out`.

    Args:
        data: a folder of `dataset.py`.
        encoders: weights to use as they are; without, encoders are trained with the strategies.
        command: what the user typed, for the record.

    Raises:
        SensorfuseError: there is no data, the encoders cannot be read, or what `train` raises.
    """
    index = read_index(data)
    run_ticks = index.get("run_ticks", 1)
    training, held_out = (Examples([data / s for s in index[part]], run_ticks) for part in ("training", "held_out"))
    task = (
        DrivingTask(training, held_out)
        if encoders is None
        else FeatureTask(training, held_out, encoders, data / "features")
    )
    trained = train(task, config, out, resume)
    model: Any = trained.model.to("cpu")
    record: dict[str, Any] = {"command": command, "training_s": trained.training_s, "history": trained.history}
    record["encoder_parity"] = publish_encoders(model, out)
    if encoders is not None:
        (out / ENCODERS_FILE).write_bytes(encoders.read_bytes())  # the same file: networks name theirs by it
    publish_networks(model, config, index, record, held_out, out, task.run_length)


def train_activity(
    config: TrainConfig,
    data: Path,
    out: Path,
    command: str,
    resume: bool = False,
    settings: ActivitySettings | None = None,
) -> None:
    """Train strategies on the activity task, by the subjects that teach in the usual split, and write them to `out`.

    Args:
        data: a folder of `activity_data.py`.
        command: what the user typed, for the record.

    Raises:
        SensorfuseError: recordings are missing or unreadable, or what `train` raises.
    """
    settings = settings or ActivitySettings()
    windows = make_windows(read_recordings(data)).of_subjects(TRAINING_SUBJECTS)
    trained = train(ActivityTask(windows, settings=settings), config, out, resume)
    model: Any = trained.model.to("cpu")
    record = {"command": command, "training_s": trained.training_s, "taught": TRAINING_SUBJECTS}
    publish_activity(model, config, settings, record | {"history": trained.history}, out)


def train_imputation(
    config: TrainConfig, data: Path, out: Path, command: str, encoders: Path, resume: bool = False
) -> None:
    """Train ways to impute on features of frozen encoders and write them to `out`.

    Args:
        data: a folder of `dataset.py`.
        encoders: their weights.
        command: what the user typed, for the record.

    Raises:
        SensorfuseError: there is no data, the encoders cannot be read, or what `train` raises.
    """
    rows = read_features(data, encoders)
    task = ImputationTask(rows["training"], rows["held_out"])
    trained = train(task, config, out, resume)
    (out / ENCODERS_FILE).write_bytes(encoders.read_bytes())
    judged = spread(len(task.validation), JUDGED_TICKS)
    for method, module in trained.model.to("cpu").items():  # type: ignore[operator]
        task.finish(module, config.seed)
        card: dict[str, Any] = {
            "method": method,
            "encoders": file_digest(encoders),
            "command": command,
            "config": config.model_dump(mode="json"),
            "dataset": read_index(data),
            "training_s": trained.training_s,
            "history": trained.history,
            "held_out": measure(module, task.validation, judged),
        }
        publish(module, method, card, task.training.cells, out)
