"""`sensorfuse train`: from data to networks that a robot runs, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sensorfuse.fusion.model_files import ENCODERS_FILE
from sensorfuse.fusion.training.dataset import read_index
from sensorfuse.fusion.training.driving import DrivingTask
from sensorfuse.fusion.training.examples import Examples
from sensorfuse.fusion.training.feature_task import FeatureTask
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
    training, held_out = (Examples([data / s for s in index[part]]) for part in ("training", "held_out"))
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
    publish_networks(model, config, index, record, held_out, out)
