"""The driving task on features that frozen encoders made once: a strategy more costs only its own network. Torch.

Each training example is encoded once, as it is or mirrored, now and then disturbed, by draws of its number; the
features lie in a file of half precision that is read as needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.fusion.model_files import file_digest
from sensorfuse.fusion.training.dataset import read_index
from sensorfuse.fusion.training.driving import DrivingTask, Trainee, held_out_losses, network_loss
from sensorfuse.fusion.training.examples import Examples
from sensorfuse.fusion.training.feature_rows import FeatureRows, row_width
from sensorfuse.fusion.training.losses import Targets
from sensorfuse.fusion.training.task import Step
from sensorfuse.messages import MODALITIES

ENCODE_BATCH = 12


@dataclass
class FeatureBatch:
    """Maps and vectors by modality, in the order of `MODALITIES`; zeros for the absent."""

    features: list[Tensor]
    present: Tensor  # (B, 5)
    targets: Targets

    def to(self, device: torch.device) -> FeatureBatch:
        """The same on a device."""
        return FeatureBatch([f.to(device) for f in self.features], self.present.to(device), self.targets.to(device))


def features_file(folder: Path, part: str, encoders: Path, count: int, run_ticks: int) -> Path:
    """Where the features of `count` examples lie."""
    runs = f"x{run_ticks}" if run_ticks > 1 else ""
    return folder / f"features-{part}-{file_digest(encoders)[:12]}-{count}{runs}.npy"


def read_features(data: Path, encoders: Path) -> dict[str, FeatureRows]:
    """Features of a data folder's `training` and `held_out` examples: from their files, without reading what they were
    made of; where they are not there, made now.

    Raises:
        SensorfuseError: there is no data, or the encoders cannot be read.
    """
    index, folder, out = read_index(data), data / "features", {}
    run_ticks = index.get("run_ticks", 1)
    for part in ("training", "held_out"):
        present = torch.from_numpy(np.concatenate([np.load(data / s)["present"] for s in index[part]]))
        file = features_file(folder, part, encoders, len(present), run_ticks)
        if not file.exists():
            training, held_out = (Examples([data / s for s in index[p]], run_ticks) for p in ("training", "held_out"))
            return FeatureTask(training, held_out, encoders, folder).rows
        out[part] = FeatureRows(np.load(file, mmap_mode="r", allow_pickle=False), present)
    return out


class FeatureTask:
    """Implements `Task` on the features of frozen encoders.

    Args:
        training, held_out: examples; of their features `rows` are kept.
        encoders: their weights.
        folder: where the features are kept; those of other encoders or data are made anew.
    """

    name = "driving"
    modalities: tuple[str, ...] = tuple(MODALITIES)

    def __init__(self, training: Examples, held_out: Examples, encoders: Path, folder: Path) -> None:
        self.examples = {"training": training, "held_out": held_out}
        self.weights = encoders
        self._source = DrivingTask(training, held_out, encoders)
        self.run_length = training.run_ticks
        mirrored = np.random.default_rng(0).random(len(training) // self.run_length) < 0.5  # a whole run, or none of it
        self._mirror = {
            "training": np.repeat(mirrored, self.run_length),
            "held_out": np.zeros(len(held_out), bool),
        }
        self.rows = {
            part: FeatureRows(self._encoded(part, folder), some.present(np.arange(len(some))))
            for part, some in self.examples.items()
        }

    def __len__(self) -> int:
        return len(self.examples["training"])

    def make_model(self, strategies: Sequence[str]) -> Trainee:
        return self._source.make_model(strategies)

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        return {}

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> FeatureBatch:
        return self._batch("training", index, keep)

    def step(self, model: nn.Module, batch: FeatureBatch, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        assert isinstance(model, Trainee)
        return network_loss(model.network(strategy), batch.features, batch.present, batch.targets, state)

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        """Half of the ticks with everything present, half with dropout."""
        assert isinstance(model, Trainee)
        device = next(model.parameters()).device

        def read(index: NDArray[np.int64], keep: NDArray[np.float32]) -> tuple[list[Tensor], Tensor, Targets]:
            batch = self._batch("held_out", index, keep).to(device)
            return batch.features, batch.present, batch.targets

        return held_out_losses(model, len(self.examples["held_out"]), self.run_length, batch_size, rng, read)

    def _batch(self, part: str, index: NDArray[np.int64], keep: NDArray[np.float32]) -> FeatureBatch:
        values, present = self.rows[part].batch(index)
        present = present * torch.from_numpy(keep)
        features = [x * present[:, m].reshape(-1, *[1] * (x.dim() - 1)) for m, x in enumerate(values)]
        return FeatureBatch(features, present, self.examples[part].targets(index, self._mirror[part][index]))

    def _encoded(self, part: str, folder: Path) -> NDArray[np.float16]:
        """Features (N, `row_width`) of all examples of a part, from their file or made now."""
        examples = self.examples[part]
        file = features_file(folder, part, self.weights, len(examples), examples.run_ticks)
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            beside = file.with_suffix(".new")
            rows = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float16, shape=(len(examples), row_width()))
            model = self._source.make_model(()).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.no_grad():
                for first in range(0, len(examples), ENCODE_BATCH):
                    index = np.arange(first, min(first + ENCODE_BATCH, len(examples)))
                    maps = model.features(self._source.whole(part, index, self._mirror[part][index]))
                    rows[index] = torch.cat([m.flatten(1) for m in maps], dim=1).numpy()
                    print(f"\rencoding {part}: {index[-1] + 1}/{len(examples)} ", end="", file=sys.stderr, flush=True)
            rows.flush()
            beside.replace(file)
            print(file=sys.stderr)
        return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
