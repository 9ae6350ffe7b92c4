"""Imputing as a task of the training loop: take modalities away from ticks, and tell their features from the others'.

What is trained here are methods of imputing, where other tasks have strategies; features are those of frozen encoders.
Torch; training only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.imputation.encoder_decoder import EncoderDecoderImputer
from sensorfuse.fusion.imputation.feature_imputer import MAPS, FeatureImputer, Typical
from sensorfuse.fusion.imputation.imputer import METHODS
from sensorfuse.fusion.imputation.product_of_experts import ProductOfExpertsImputer
from sensorfuse.fusion.imputation.retrieval import RetrievalImputer
from sensorfuse.fusion.training.feature_rows import FeatureRows
from sensorfuse.fusion.training.loop import TrainConfig
from sensorfuse.fusion.training.modality_dropout import draw_dropout
from sensorfuse.fusion.training.task import Step
from sensorfuse.messages import MODALITIES

IMPUTATION_CONFIG = TrainConfig(strategies=METHODS, epochs=1, batch=4, learning_rate=3e-3, dropout=(0.35,), patience=99)
MAKERS: dict[str, Callable[[Typical], FeatureImputer]] = {
    "product_of_experts": ProductOfExpertsImputer,
    "encoder_decoder": EncoderDecoderImputer,
    "retrieval": RetrievalImputer,
}
CALIBRATION = 0.15
"""Share of the ticks, the last ones, that only set variances and temperatures."""
BANK_TICKS, CALIBRATION_TICKS, TYPICAL_TICKS, JUDGED_TICKS = 300, 32, 400, 96


@dataclass
class Masked:
    """Features, who was there (B, 5), and who of them is kept; the others are to be told."""

    values: list[Tensor]
    present: Tensor
    keep: Tensor

    def to(self, device: torch.device) -> Masked:
        """The same on a device."""
        return Masked([x.to(device) for x in self.values], self.present.to(device), self.keep.to(device))


class ImputationTask:
    """Implements `Task`; a model is a `FeatureImputer` by method."""

    name = "imputation"
    modalities: tuple[str, ...] = tuple(MODALITIES)
    run_length = 1

    def __init__(self, training: FeatureRows, held_out: FeatureRows) -> None:
        self.training, self.validation = training, held_out
        self._length = len(training) - max(1, round(CALIBRATION * len(training)))

    def __len__(self) -> int:
        return self._length

    def make_model(self, strategies: Sequence[str]) -> nn.ModuleDict:
        """Raises SensorfuseError: a method is unknown."""
        for method in strategies:
            if method not in MAKERS:
                raise SensorfuseError(f"{method!r} is no way to impute; choose of {', '.join(METHODS)}")
        typical = typical_of(self.training, spread(self._length, TYPICAL_TICKS))
        return nn.ModuleDict({method: MAKERS[method](typical) for method in strategies})

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        return {}

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> Masked:
        return Masked(*self.training.batch(index), torch.from_numpy(with_one_gone(keep, rng)))

    def step(self, model: nn.Module, batch: Masked, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        assert isinstance(model, nn.ModuleDict)
        imputer = model[strategy]
        assert isinstance(imputer, FeatureImputer)
        return Step(imputer.loss(batch.values, batch.present, batch.keep))

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        assert isinstance(model, nn.ModuleDict)
        device = next(model.parameters()).device
        torch.manual_seed(0)  # what retrieval draws
        sums: dict[str, list[float]] = {method: [] for method in model}
        ticks = spread(len(self.validation), JUDGED_TICKS)
        for index in np.array_split(ticks, max(1, len(ticks) // batch_size)):
            keep = with_one_gone(draw_dropout(rng, len(index), (0.35,) * len(MODALITIES)), rng)
            batch = Masked(*self.validation.batch(index), torch.from_numpy(keep)).to(device)
            for method in sums:
                sums[method].append(float(self.step(model, batch, method).loss))
        return {method: float(np.mean(values)) for method, values in sums.items()}

    @torch.no_grad()
    def finish(self, imputer: FeatureImputer, seed: int) -> None:
        """Fill a bank from the ticks of training, and set what is set on ticks that were left out."""
        rng = np.random.default_rng(seed + 1)
        if isinstance(imputer, RetrievalImputer):
            ticks = rng.permutation(self._length)[:BANK_TICKS]
            imputer.remember(*self.training.batch(ticks), torch.Generator().manual_seed(seed))
        left_out = self._length + rng.permutation(len(self.training) - self._length)[:CALIBRATION_TICKS]
        held = self.training.batch(left_out)
        if isinstance(imputer, RetrievalImputer):
            imputer.choose_temperature(*held)
        imputer.calibrate(*held)


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of `count` ticks, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def with_one_gone(keep: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Who is kept (B, M): where all were, one is not, so that there is always something to tell."""
    keep = keep.copy()
    whole = np.flatnonzero(keep.min(axis=1) > 0)
    keep[whole, rng.integers(0, keep.shape[1], len(whole))] = 0.0
    return keep


def typical_of(features: FeatureRows, ticks: NDArray[np.int64]) -> Typical:
    """Means by place of some ticks, maps' at half resolution, and deviations about them."""
    means: list[Tensor] = []
    squares: list[Tensor] = []
    for n in ticks:  # one at a time: all at once would not fit in single precision
        values, _ = features.batch(np.array([n]))
        means = means or [torch.zeros_like(x[0]) for x in values]
        squares = squares or [torch.zeros_like(x[0]) for x in values]
        for mean, square, x in zip(means, squares, values, strict=True):
            mean += x[0] / len(ticks)
            square += x[0].square() / len(ticks)
    kept, deviations = [], []
    for m, (mean, square) in enumerate(zip(means, squares, strict=True)):
        usual = mean
        kept.append(mean if m >= MAPS else F.avg_pool2d(mean[None], 2)[0])
        if m < MAPS:
            usual = F.interpolate(kept[-1][None], scale_factor=2.0, mode="bilinear", align_corners=False)[0]
        about = square - 2 * usual * mean + usual.square()
        deviations.append(about.reshape(len(about), -1).mean(dim=1))
    scale = torch.stack(deviations).clamp_min(0.0).sqrt()
    return Typical(torch.stack(kept[:MAPS]), torch.stack(kept[MAPS:]), scale)
